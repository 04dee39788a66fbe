//! A person at the keys.

use super::line::{Caller, Line};
use super::{PhoneError, PhoneOptions};
use std::io::{IsTerminal as _, Write as _};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use ussd::Screen;

/// Dials, shows, and sends each line that is typed, until the dialogue ends. The end of the input
/// hangs up.
pub(super) async fn talk(line: &Line, options: &PhoneOptions) -> Result<(), PhoneError> {
    let mut caller = Caller::new(&options.number, &options.network);
    let mut typed = BufReader::new(tokio::io::stdin()).lines();
    show(&caller.dial(line, &options.code).await?)?;
    while caller.is_in_dialogue() {
        prompt()?;
        let Some(keys) = typed.next_line().await? else {
            return caller.hang_up(line).await;
        };
        show(&caller.key(line, keys.trim_end()).await?)?;
    }
    Ok(())
}

fn show(screen: &Screen) -> std::io::Result<()> {
    let end = if screen.is_end() { "\n(the dialogue is over)" } else { "" };
    writeln!(std::io::stdout(), "\n{}{end}", screen.text())
}

fn prompt() -> std::io::Result<()> {
    let mut out = std::io::stdout();
    if std::io::stdin().is_terminal() {
        write!(out, "> ")?;
    }
    out.flush()
}
