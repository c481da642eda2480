//! The documentation: its commands run, its links lead somewhere, its limits are kept.

mod commands;
mod links;
mod page;
mod scene;
mod servers;
mod size;
