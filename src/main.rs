//! The command line of the daemon.

use clap::{Args, Parser, Subcommand};
use lastmile::assemble::Daemon;
use lastmile::client;
use lastmile::logging::Logging;
use lastmile::phone::{self, PhoneOptions};
use lastmile::settings::{Settings, chain};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{debug, error, info, warn};

/// Sessions are many small things that live briefly and in step: the system's allocator spent a
/// tenth of the processor on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A telecom protocol gateway: TR-069, MQTT and USSD in, signed events out, nothing lost.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon.
    Serve(Files),
    /// Check the configuration and the files it names; exit with 64 when something is wrong.
    Check(Files),
    /// Make tokens for the REST API.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Manage where events go.
    #[command(subcommand)]
    Sink(SinkCommand),
    /// Show what would be sent to a device, or to all, and why; nothing is sent. Exits with 0 when there
    /// is nothing to do, with 2 when something would be changed.
    Plan(PlanArgs),
    /// Dial a USSD service of the daemon that runs here, as its aggregator would: by hand, or from a
    /// file of dialogues with the screens that must come.
    Phone(PhoneArgs),
}

#[derive(Args)]
struct PhoneArgs {
    /// The service, as the configuration calls it.
    #[arg(long, default_value = "home")]
    service: String,
    /// Who calls, in E.164.
    #[arg(long)]
    number: String,
    /// The network's code.
    #[arg(long, default_value = "63902")]
    network: String,
    /// What is dialled; keys may stand behind the service's code.
    #[arg(long, default_value = "*384#")]
    code: String,
    /// A file of dialogues to play; exits with 1 at the first screen that is another.
    #[arg(long, value_name = "FILE")]
    play: Option<PathBuf>,
    #[command(flatten)]
    files: Files,
}

#[derive(Args)]
struct PlanArgs {
    /// A device: its identity or an alias.
    #[arg(long, required_unless_present = "fleet", conflicts_with = "fleet")]
    device: Option<String>,
    /// Every device.
    #[arg(long)]
    fleet: bool,
    /// A file that is planned with as though it stood in the folder of profiles; of the fleet, only
    /// devices for which it changes something are looked at.
    #[arg(long)]
    profile: Option<PathBuf>,
    /// How many devices of the fleet are shown one by one.
    #[arg(long, default_value_t = 10)]
    examples: usize,
    #[command(flatten)]
    files: Files,
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token; it is the last word printed, and is not shown again.
    Create {
        /// A role of the configuration: `admin`, `operator`, `reader`, `program`.
        #[arg(long)]
        role: String,
        /// What the audit trail calls its holder.
        #[arg(long)]
        name: Option<String>,
        /// Whose it is.
        #[arg(long)]
        tenant: Option<String>,
        #[command(flatten)]
        topics: TopicArgs,
        #[command(flatten)]
        files: Files,
    },
}

/// What a program may do over MQTT; each may be given more than once.
#[derive(Args)]
struct TopicArgs {
    /// Topics that it may publish to, as a filter.
    #[arg(long, value_name = "FILTER")]
    publish: Vec<String>,
    /// Topics that it may read, as a filter.
    #[arg(long, value_name = "FILTER")]
    subscribe: Vec<String>,
    /// Topics that it may neither publish to nor read, as a filter.
    #[arg(long, value_name = "FILTER")]
    deny: Vec<String>,
}

#[derive(Subcommand)]
enum SinkCommand {
    /// Forget a sink that is no longer configured, with all that waits for it.
    Drop {
        /// Its name.
        name: String,
        #[command(flatten)]
        files: Files,
    },
}

#[derive(Args)]
struct Files {
    /// The configuration file; an absent one means the defaults.
    #[arg(long, default_value = "lastmile.toml")]
    config: PathBuf,
    /// Where the store and the first start's secrets are, before what the file says.
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

/// The configuration is faulty (`EX_USAGE`).
const EXIT_CONFIG: u8 = 64;
/// A plan would change something.
const EXIT_CHANGES: u8 = 2;
/// Some tasks did not end in time.
const EXIT_OVERDUE: u8 = 75;
/// A second signal cut the stop short: 128 and SIGTERM's number, as a shell would say it.
const EXIT_CUT_SHORT: u8 = 143;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let files = match &cli.command {
        Command::Serve(files) | Command::Check(files) => files,
        Command::Token(TokenCommand::Create { files, .. }) => files,
        Command::Sink(SinkCommand::Drop { files, .. }) => files,
        Command::Plan(PlanArgs { files, .. }) | Command::Phone(PhoneArgs { files, .. }) => files,
    };
    let settings = match Settings::read(Some(&files.config), files.data_dir.as_deref()) {
        Ok(settings) => settings,
        Err(error) => {
            for fault in &error.faults {
                eprintln!("{}: {fault}", files.config.display());
            }
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    // One provider for every TLS client and server of the process; a second call keeps the first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    match cli.command {
        Command::Serve(_) => runtime.block_on(serve(settings)),
        Command::Check(_) => {
            for warning in settings.config.warnings() {
                println!("{}: warning: {warning}", files_of(&settings));
            }
            ExitCode::SUCCESS
        }
        Command::Token(TokenCommand::Create { role, name, tenant, topics, .. }) => {
            let TopicArgs { publish, subscribe, deny } = topics;
            let topics = client::Topics { publish, subscribe, deny };
            let (name, tenant) = (name.as_deref(), tenant.as_deref());
            let made = client::create_token(&settings, &role, name, tenant, topics);
            report(runtime.block_on(made))
        }
        Command::Sink(SinkCommand::Drop { name, .. }) => {
            let dropped = runtime.block_on(client::drop_sink(&settings, &name));
            report(dropped.map(|()| format!("{name} is dropped")))
        }
        Command::Phone(PhoneArgs { service, number, network, code, play, .. }) => {
            let options = PhoneOptions { service, number, network, code, play };
            match runtime.block_on(phone::run(&settings, &options)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&*error),
            }
        }
        Command::Plan(PlanArgs { device, profile, examples, .. }) => {
            let plan = client::plan(&settings, device.as_deref(), profile.as_deref(), examples);
            match runtime.block_on(plan) {
                Ok((table, changes_any)) => {
                    print!("{table}");
                    if changes_any { ExitCode::from(EXIT_CHANGES) } else { ExitCode::SUCCESS }
                }
                Err(error) => fail(&*error),
            }
        }
    }
}

fn files_of(settings: &Settings) -> String {
    settings.file.as_ref().map_or_else(String::new, |file| file.display().to_string())
}

fn report(outcome: Result<String, client::ClientError>) -> ExitCode {
    match outcome {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&*error),
    }
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("lastmile: {}", chain(error));
    ExitCode::FAILURE
}

async fn serve(settings: Settings) -> ExitCode {
    let logging = Logging::start(settings.config.log.level, settings.config.log.format);
    end_on_panic();
    raise_file_limit();
    // The store and the secrets are nobody else's to read.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    model::set_redaction_key(model::RedactionKey::of_this_process());
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    );
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        error!("signals cannot be received");
        return ExitCode::FAILURE;
    };
    let mut daemon = match Box::pin(Daemon::start(settings, logging)).await {
        Ok(daemon) => daemon,
        Err(error) => {
            error!(error = chain(&*error), "lastmile does not start");
            return ExitCode::FAILURE;
        }
    };
    tell_service_manager(&[sd_notify::NotifyState::Ready]);
    let watchdog = tokio::spawn(watchdog());
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => daemon.reload(),
            error = daemon.failed() => {
                error!(error = chain(&*error), "lastmile ends; what cannot be kept is not acknowledged");
                return ExitCode::FAILURE;
            }
        }
    }
    info!("stopping");
    tell_service_manager(&[sd_notify::NotifyState::Stopping]);
    let code = tokio::select! {
        overdue = daemon.stop() => {
            for late in &overdue {
                warn!(error = %late, "stopped late");
            }
            if overdue.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_OVERDUE) }
        }
        () = either(&mut terminate, &mut interrupt) => {
            warn!("stopped at once; what was not delivered is on disk");
            ExitCode::from(EXIT_CUT_SHORT)
        }
    };
    watchdog.abort();
    info!("stopped");
    code
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

/// A fault of our own ends the process, never silently: half a daemon acknowledges and does not
/// deliver. The broker inside is not our own; it is started anew.
fn end_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if lastmile::bus::is_its_thread() {
            // Without its words: they may hold what a consumer sent.
            let place = panic.location().map(ToString::to_string);
            return debug!(place, "a thread of the event bus ended");
        }
        print(panic);
        std::process::abort();
    }));
}

/// Raises the soft limit of open files to the hard one: each device holds a socket.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "limit of open files not raised");
    }
}

/// Tells systemd, where there is one.
fn tell_service_manager(state: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(%error, "the service manager was not told");
    }
}

/// Tells systemd twice in its interval that the runtime still turns.
async fn watchdog() {
    let Some(interval) = sd_notify::watchdog_enabled() else { return };
    let mut tick = tokio::time::interval((interval / 2).max(Duration::from_millis(100)));
    loop {
        tick.tick().await;
        tell_service_manager(&[sd_notify::NotifyState::Watchdog]);
    }
}
