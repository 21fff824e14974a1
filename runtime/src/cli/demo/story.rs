//! What the reader of the terminal sees: numbered claims, what happened, and for each check whether it holds. Owns stdout and
//! the count; knows nothing of servers.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

/// A story told claim by claim.
pub(super) struct Story {
    out: Box<dyn Write + Send>,
    colour: bool,
    claims: u32,
    broken: u32,
    holds: bool,
}

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const RED: &str = "31";

impl Story {
    /// Told on stdout, coloured where that is a terminal.
    pub(super) fn on_stdout() -> Self {
        Self { colour: std::io::stdout().is_terminal(), ..Self::on(Box::new(std::io::stdout())) }
    }

    fn on(out: Box<dyn Write + Send>) -> Self {
        Self { out, colour: false, claims: 0, broken: 0, holds: true }
    }

    /// Plain text, as it is.
    pub(super) fn print(&mut self, text: impl Display) {
        // Whoever closed the pipe has read enough; the demo still ends in order.
        let _ = writeln!(self.out, "{text}");
    }

    /// Begins the next claim; `why` says in a line or two what it shows and why that matters.
    pub(super) fn claim(&mut self, title: &str, why: &[&str]) {
        self.count();
        self.claims += 1;
        let title = self.painted(BOLD, format_args!("{}  {title}", self.claims));
        self.print(format_args!("\n{title}"));
        why.iter().for_each(|line| self.print(format_args!("   {line}")));
        self.print("");
    }

    /// Something that happened.
    pub(super) fn show(&mut self, text: impl Display) {
        let text = self.painted(DIM, text);
        self.print(format_args!("     {text}"));
    }

    /// Something that was checked.
    pub(super) fn check(&mut self, holds: bool, text: impl Display) {
        self.holds &= holds;
        let mark = if holds { self.painted(GREEN, "✓") } else { self.painted(RED, "✗") };
        self.print(format_args!("   {mark} {text}"));
    }

    /// Ends the story: whether every claim held, and how many did.
    pub(super) fn end(&mut self) -> bool {
        self.count();
        let kept = self.claims - self.broken;
        let verdict = match self.broken {
            0 => self.painted(GREEN, format_args!("{kept} claims hold")),
            broken => self.painted(RED, format_args!("{kept} claims hold, {broken} failed")),
        };
        self.print(format_args!("\n{verdict}"));
        self.broken == 0
    }

    fn count(&mut self) {
        self.broken += u32::from(!self.holds);
        self.holds = true;
    }

    fn painted(&self, style: &str, text: impl Display) -> String {
        if self.colour { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(claims: &[&[bool]]) -> bool {
        let mut story = Story::on(Box::new(std::io::sink()));
        for checks in claims {
            story.claim("A claim", &[]);
            checks.iter().for_each(|holds| story.check(*holds, "a check"));
        }
        story.end()
    }

    #[test]
    fn one_failed_check_anywhere_fails_the_story() {
        assert!(told(&[&[true, true], &[true]]));
        assert!(!told(&[&[false, true], &[true]]));
        assert!(!told(&[&[true, true], &[false]]));
    }
}
