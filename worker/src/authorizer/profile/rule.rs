//! Rules that read a response.

use std::fmt;
use std::ops::RangeInclusive;

use chargegate_core::DecisionStatus;

use super::json::{JsonPointer, JsonTree};

/// Meaning of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerMeaning {
    /// An answer.
    Decided(DecisionStatus),
    /// No answer; the call is repeated.
    Retry,
}

impl AnswerMeaning {
    /// Names of the meanings in a profile.
    pub(super) const NAMES: &'static str = "allowed, not_allowed, unknown, invalid or retry";

    /// Parses the name of a meaning.
    pub(super) fn parse(name: &str) -> Option<Self> {
        if name == "retry" { Some(Self::Retry) } else { name.parse().ok().map(Self::Decided) }
    }
}

impl fmt::Display for AnswerMeaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decided(status) => f.write_str(status.as_str()),
            Self::Retry => f.write_str("no answer, ask again"),
        }
    }
}

/// A rule: it matches responses with one of its statuses, whose body meets its conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AnswerRule {
    /// Line of the rule in the profile.
    pub(super) line: usize,
    pub(super) statuses: Vec<RangeInclusive<u16>>,
    pub(super) conditions: Vec<Condition>,
    pub(super) result: RuleResult,
}

/// A value of the body that a rule requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) pointer: JsonPointer,
    pub(super) accepted: Vec<String>,
}

/// Result of a rule that matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RuleResult {
    /// Always the same.
    Fixed(AnswerMeaning),
    /// That of the value at the pointer; a value that is not listed does not match.
    Listed { pointer: JsonPointer, values: Vec<(String, AnswerMeaning)> },
}

impl AnswerRule {
    /// Returns whether the rule concerns a response with this status.
    pub(super) fn covers(&self, status: u16) -> bool {
        self.statuses.iter().any(|range| range.contains(&status))
    }

    /// Returns whether the rule reads the body of a response.
    pub(super) fn reads_body(&self) -> bool {
        !self.conditions.is_empty() || matches!(self.result, RuleResult::Listed { .. })
    }

    /// Reads a response whose status the rule covers. `body` is `None` if the response has no readable body.
    pub(super) fn read(
        &self,
        body: Option<&JsonTree<String>>,
        note: &mut dyn FnMut(fmt::Arguments<'_>),
    ) -> Option<AnswerMeaning> {
        for Condition { pointer, accepted } in &self.conditions {
            let value = body.and_then(|body| body.lookup(pointer));
            let met = value.and_then(JsonTree::scalar).is_some_and(|value| accepted.contains(&value));
            let verb = if met { "as required" } else { "so the rule does not match: it requires" };
            note(format_args!("{pointer} is {}, {verb} ({})", Shown(value), accepted.join(" or ")));
            if !met {
                return None;
            }
        }
        match &self.result {
            RuleResult::Fixed(meaning) => {
                note(format_args!("the rule says: {meaning}"));
                Some(*meaning)
            }
            RuleResult::Listed { pointer, values } => {
                let value = body.and_then(|body| body.lookup(pointer));
                let text = value.and_then(JsonTree::scalar);
                let listed = text.and_then(|text| values.iter().find(|(value, _)| *value == text));
                if let Some((_, meaning)) = listed {
                    note(format_args!("{pointer} is {}, which means: {meaning}", Shown(value)));
                } else {
                    let names: Vec<_> = values.iter().map(|(value, _)| value.as_str()).collect();
                    let names = names.join(", ");
                    note(format_args!(
                        "{pointer} is {}, so the rule does not match: it lists {names}",
                        Shown(value)
                    ));
                }
                listed.map(|(_, meaning)| *meaning)
            }
        }
    }
}

/// A value of a response, shortened and on one line.
struct Shown<'a>(Option<&'a JsonTree<String>>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_CHARS: usize = 60;
        match self.0 {
            None => f.write_str("missing"),
            Some(JsonTree::List(_)) => f.write_str("a list"),
            Some(JsonTree::Object(_)) => f.write_str("an object"),
            Some(JsonTree::Text(text)) => {
                let short: String = text.chars().take(MAX_CHARS).collect();
                let more = if short.len() < text.len() { "…" } else { "" };
                write!(f, "{short:?}{more}")
            }
            Some(value) => f.write_str(&value.scalar().unwrap_or_default()),
        }
    }
}
