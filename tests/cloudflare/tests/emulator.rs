//! Tests of the emulator over HTTP, in one binary.
#![cfg(test)]
