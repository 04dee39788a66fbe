//! A configuration for the daemon that fits this program, so that nobody has to write one.

use super::build::SECRET_FILE;
use super::{Error, Verdict};
use crate::args::{Config, Port};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes the webhook's secret, unless it is there, and prints the configuration.
pub(super) fn run(args: &Config) -> Result<Verdict, Error> {
    let open = |source| Error::Open { what: "the data directory", source };
    fs::create_dir_all(&args.data_dir).map_err(open)?;
    let data_dir = args.data_dir.canonicalize().map_err(open)?;
    let secret = data_dir.join(SECRET_FILE);
    make_secret(&secret).map_err(|source| Error::Open { what: "the webhook's secret", source })?;
    print!("{}", text(args, &data_dir, &secret));
    Ok(Verdict::Done)
}

fn text(args: &Config, data_dir: &Path, secret: &Path) -> String {
    let at = |port: Port| port.after(args.ports_from);
    let quoted = |path: &Path| format!("{:?}", path.display().to_string());
    let auth = if args.open { "open" } else { "required" };
    let tls_listen = |port: Port| {
        if args.tls { format!("tls_listen = \"{}\"\n", at(port)) } else { String::new() }
    };
    let tls = if args.tls { "\n[tls]\nself_signed = true\n" } else { "" };
    format!(
        "# For loadtest with --data-dir {data_dir} --ports-from {ports}.\n\
         data_dir = {quoted_dir}\n\n\
         [cwmp]\nlisten = \"{cwmp}\"\n{cwmp_tls}auth = \"{auth}\"\n\n\
         # The simulated CPEs are on this machine, which a device may not point us at by itself.\n\
         [cwmp.connection_request]\nnetworks = [\"127.0.0.0/8\"]\n\n\
         [mqtt]\nlisten = \"{mqtt}\"\n{mqtt_tls}auth = \"{auth}\"\n\n\
         [public]\nlisten = \"{public}\"\n\n\
         [operator]\nlisten = \"{operator}\"\n\n\
         # A simulated caller never rests, and waits as long as he is told to.\n\
         [ussd]\nrate_per_number = 100000\ndialogues_max = 1000000\ndialogue_idle = \"1h\"\n\n\
         [[ussd.network]]\ncode = \"99999\"\nname = \"loadtest\"\nsession_s = 3600\nidle_s = 3600\n\n\
         [[ussd.service]]\nname = \"home\"\nmenu = \"home\"\naggregator = \"africas_talking\"\n\n\
         # The same without a fact of each call: no hop waits for the disk.\n\
         [[ussd.service]]\nname = \"quiet\"\nmenu = \"home\"\naggregator = \"africas_talking\"\n\
         events = \"effects\"\n\n\
         # Batches as large as a backend on the same machine likes them.\n\
         [[sink]]\nname = \"loadtest\"\nkind = \"webhook\"\nurl = \"http://{backend}/\"\n\
         secret_file = {secret}\nbatch_max = 1000\nretry_min = \"100ms\"\nretry_max = \"1s\"\n{tls}",
        data_dir = data_dir.display(),
        ports = args.ports_from,
        quoted_dir = quoted(data_dir),
        cwmp = at(Port::Cwmp),
        cwmp_tls = tls_listen(Port::CwmpTls),
        mqtt_tls = tls_listen(Port::MqttTls),
        mqtt = at(Port::Mqtt),
        public = at(Port::Public),
        operator = at(Port::Operator),
        backend = at(Port::Backend),
        secret = quoted(secret),
    )
}

/// Makes a key of 24 random bytes, readable by its owner alone; one that is there stays.
fn make_secret(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match file {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        other => other?,
    };
    let mut key = [0; 24];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    writeln!(file, "whsec_{}", STANDARD.encode(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Secret;

    #[test]
    fn a_secret_is_made_once() {
        let dir = std::env::temp_dir().join(format!("loadtest-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join(SECRET_FILE);
        make_secret(&path).unwrap();
        let first = fs::read_to_string(&path).unwrap();
        assert!(Secret::read(&first).is_some());
        make_secret(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_text_names_every_port() {
        let args = Config { data_dir: "d".into(), ports_from: 17_000, open: true, tls: true };
        let text = text(&args, Path::new("/d"), Path::new("/d/s"));
        for port in 17_000..=17_006 {
            assert!(text.contains(&port.to_string()), "{text}");
        }
        assert!(text.contains("auth = \"open\"") && text.contains("self_signed = true"));
        assert!(text.contains("networks = [\"127.0.0.0/8\"]"), "or no simulated CPE is woken");
    }
}
