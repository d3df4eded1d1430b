//! What a person sees: headings with the time since the start, and lines below them.

use std::io::IsTerminal as _;
use std::time::Instant;

/// The screen of one run.
pub struct Show {
    start: Instant,
    step: u32,
}

impl Show {
    /// Time starts now.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            step: 0,
        }
    }

    /// The next step of the story.
    pub fn heading(&mut self, title: &str) {
        self.step += 1;
        let line = format!("{}. {title}", self.step);
        println!(
            "\n{} {}",
            bold(&line),
            faint(&format!("[{}]", self.elapsed()))
        );
    }

    /// Something that happened, with its time.
    pub fn event(&self, text: &str) {
        println!("   {} {text}", faint(&format!("{:>8}", self.elapsed())));
    }

    /// A command as the reader could type it, and what it printed.
    pub fn command(&self, command: &str, output: &str) {
        println!("\n   {} {}", faint("$"), bold(command));
        self.block(output);
    }

    /// Lines as they are.
    #[expect(clippy::unused_self, reason = "one screen, one way to write on it")]
    pub fn block(&self, text: &str) {
        for line in text.trim_end().lines() {
            println!("   {line}");
        }
    }

    fn elapsed(&self) -> String {
        let seconds = self.start.elapsed().as_secs_f64();
        format!("{seconds:.1} s")
    }
}

/// The text of an error: the chain, its cause last.
pub fn failure(error: &anyhow::Error) -> String {
    format!("{} {error:#}", styled("31;1", "Failed:"))
}

/// What a step says when it went well.
pub fn good(text: &str) -> String {
    styled("32", text)
}

fn bold(text: &str) -> String {
    styled("1", text)
}

fn faint(text: &str) -> String {
    styled("2", text)
}

fn styled(code: &str, text: &str) -> String {
    let colours = std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if colours {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
