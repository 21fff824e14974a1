//! Why a command failed, by what a script does about it: each kind has its exit code.

use std::process::ExitCode;

use crate::app;

/// The kinds of failure, and of success in part, that scripts tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// It failed.
    Failed,
    /// The arguments make no sense to the server.
    Usage,
    /// Nothing answers, or it is too busy: trying again may help.
    Unreachable,
    /// An answer was needed and nobody is there to give it.
    AnswerNeeded,
    /// Some of it failed.
    Partial,
    /// What was asked for is not there, or not in a state for it.
    NotFound,
    /// The configuration cannot be used.
    Configuration,
}

impl Exit {
    /// How an HTTP status that is no success ends a command.
    pub(super) fn of_status(status: u16) -> Self {
        match status {
            400 => Self::Usage,
            404 | 409 | 412 => Self::NotFound,
            429 | 502..=504 => Self::Unreachable,
            _ => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::AnswerNeeded => 4,
            Exit::Partial => 5,
            Exit::NotFound => 6,
            Exit::Configuration => app::EXIT_CONFIGURATION,
        })
    }
}

/// A failure of another kind than [`Exit::Failed`]; every other error is of that one.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Failure {
    exit: Exit,
    message: String,
}

/// The error that ends a command with `exit`; the message says what is wrong and what to do.
pub(super) fn failure(exit: Exit, message: impl Into<String>) -> anyhow::Error {
    Failure { exit, message: message.into() }.into()
}

/// Tells the error on stderr and gives its exit code.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    error.downcast_ref::<Failure>().map_or(Exit::Failed, |failure| failure.exit).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_ends_a_command_as_its_kind_does() {
        let statuses = [400, 401, 404, 409, 429, 500, 503];
        let exits = [Exit::Usage, Exit::Failed, Exit::NotFound, Exit::NotFound, Exit::Unreachable, Exit::Failed, Exit::Unreachable];
        assert_eq!(statuses.map(Exit::of_status), exits);
    }

    #[test]
    fn a_failure_keeps_its_kind_under_more_context() {
        let error = failure(Exit::AnswerNeeded, "confirm it").context("cannot replay");
        assert_eq!(report(&error), ExitCode::from(4));
        assert_eq!(report(&anyhow::anyhow!("anything else")), ExitCode::FAILURE);
    }
}
