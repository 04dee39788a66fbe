//! `[roles]`: named sets of permissions.

use crate::fault::Cause;
use crate::read::{Node, Reader, Value};
use crate::section::{Entry, Reload, Section, words};
use crate::text::Name;
use std::collections::BTreeMap;
use toml::de::DeValue;

words! {
    /// One thing that a token may do.
    Permission {
        /// See devices, what is known of them, and their commands.
        DevicesRead = "devices.read",
        /// Name, tag, group and claim devices.
        DevicesWrite = "devices.write",
        /// See what a CPE and we say to each other, parameter values among it.
        DevicesTrace = "devices.trace",
        /// Give devices credentials of their own.
        CredentialsWrite = "credentials.write",
        /// Send commands to devices, and cancel them.
        CommandsSend = "commands.send",
        /// Say that a board's contract begins or ends, which SIM it should have, and how that stands.
        BoardsWrite = "boards.write",
        /// See customers and what they own.
        CustomersRead = "customers.read",
        /// Make customers, and say what they own.
        CustomersWrite = "customers.write",
        /// See water points, their managers and customers, and what happened to them.
        WaterRead = "water.read",
        /// Change them, their phrases, and write to them.
        WaterWrite = "water.write",
        /// See payments.
        PaymentsRead = "payments.read",
        /// Say whether a payment that nobody can confirm was made.
        PaymentsSettle = "payments.settle",
        /// See the catalogue of images, and fetch them.
        ImagesRead = "images.read",
        /// Put images into the catalogue, and take them out: devices run what is there.
        ImagesWrite = "images.write",
        /// Order, pause, resume and abort rollouts, and say what firmware groups run.
        RolloutsWrite = "rollouts.write",
        /// See and fetch what devices have sent: configurations, with customers' secrets in them.
        UploadsRead = "uploads.read",
        /// Remove what devices have sent.
        UploadsWrite = "uploads.write",
        /// See profiles as they are written, how a trial of them stands, and who must agree to what.
        ProfilesRead = "profiles.read",
        /// Load profiles, end their trial, and agree to changes of many devices that another made.
        ProfilesWrite = "profiles.write",
        /// See what would be sent to devices, and why.
        PlansRead = "plans.read",
        /// Stop every write to devices, and lift that again.
        HoldsWrite = "holds.write",
        /// See what the business keeps for equipment, without its secrets.
        EquipmentRead = "equipment.read",
        /// Change what the business keeps for equipment, WiFi for a portal among it.
        EquipmentWrite = "equipment.write",
        /// See the secrets among it: WiFi passphrases, passwords of SIP accounts.
        EquipmentSecrets = "equipment.secrets",
        /// Read the stream of events.
        EventsRead = "events.read",
        /// See what a sink refused and which tasks were given up, and send them again.
        DeadLettersReplay = "dead_letters.replay",
        /// Sign in over MQTT as a program, for the topics that the token names.
        MqttConnect = "mqtt.connect",
        /// See who did what.
        AuditRead = "audit.read",
        /// Make and revoke tokens: whoever may, may everything.
        TokensWrite = "tokens.write",
    }
}

/// A role as it is without a line in the file.
struct Builtin {
    path: &'static str,
    name: &'static str,
    /// As it stands in the file.
    default: &'static str,
    doc: &'static str,
}

const BUILTIN: [Builtin; 4] = [
    Builtin {
        path: "roles.admin",
        name: "admin",
        default: r#"["devices.read", "devices.write", "devices.trace", "credentials.write", "commands.send", "boards.write", "customers.read", "customers.write", "water.read", "water.write", "payments.read", "payments.settle", "images.read", "images.write", "rollouts.write", "uploads.read", "uploads.write", "equipment.read", "equipment.write", "equipment.secrets", "profiles.read", "profiles.write", "plans.read", "holds.write", "events.read", "dead_letters.replay", "mqtt.connect", "audit.read", "tokens.write"]"#,
        doc: " Who keeps the daemon. The token of the first start has this role, so it must keep\n `tokens.write`.\n",
    },
    Builtin {
        path: "roles.operator",
        name: "operator",
        default: r#"["devices.read", "devices.write", "devices.trace", "credentials.write", "commands.send", "boards.write", "customers.read", "customers.write", "water.read", "water.write", "payments.read", "payments.settle", "images.read", "images.write", "rollouts.write", "uploads.read", "uploads.write", "equipment.read", "equipment.write", "equipment.secrets", "profiles.read", "profiles.write", "plans.read", "holds.write", "events.read", "dead_letters.replay", "audit.read"]"#,
        doc: " Who serves customers: everything but making tokens.\n",
    },
    Builtin {
        path: "roles.reader",
        name: "reader",
        default: r#"["devices.read", "customers.read", "water.read", "payments.read", "images.read", "equipment.read", "events.read"]"#,
        doc: " Who looks: a dashboard, a first-line agent.\n",
    },
    Builtin {
        path: "roles.program",
        name: "program",
        default: r#"["devices.read", "events.read", "mqtt.connect"]"#,
        doc: " A program of the operator's that lives on events. What it may publish and subscribe over\n MQTT is in its token.\n",
    },
];

/// The role that the token of the first start has.
const ADMIN: &str = "admin";

/// What each role may. Every permission is named: a role without it cannot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Roles(BTreeMap<Name, Vec<Permission>>);

impl Roles {
    /// What the role may; `None` where there is no such role.
    pub fn permissions(&self, role: &str) -> Option<&[Permission]> {
        self.iter().find(|(name, _)| *name == role).map(|(_, permissions)| permissions)
    }

    /// Every role, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[Permission])> {
        self.0.iter().map(|(name, permissions)| (name.as_str(), permissions.as_slice()))
    }

    /// Whether the token of the first start could still make others.
    pub(crate) fn admin_is_whole(&self) -> bool {
        self.permissions(ADMIN).is_some_and(|it| it.contains(&Permission::TokensWrite))
    }
}

impl Value for Roles {
    fn describe() -> String {
        "table".to_owned()
    }

    fn read(reader: &mut Reader, node: &Node<'_>) -> Option<Self> {
        let mut roles = BTreeMap::new();
        for builtin in BUILTIN {
            roles.insert(Name::new(builtin.name)?, Reader::default_of(builtin.default)?);
        }
        let DeValue::Table(table) = node.get_ref() else {
            return reader.wrong_type(node, "a table");
        };
        for (key, permissions) in table {
            let read = reader.entry(key, |reader| {
                let Some(name) = Name::new(key.get_ref()) else {
                    let max = Name::LEN_MAX;
                    let message = format!("a role's name is 1 to {max} of a-z, 0-9, `-` and `_`");
                    return reader.refuse(permissions, Cause::Value, message);
                };
                Some((name, Vec::read(reader, permissions)?))
            });
            roles.extend(read);
        }
        Some(Self(roles))
    }
}

impl Section for Roles {
    fn entries(entries: &mut Vec<Entry>) {
        entries.push(Entry::Section {
            header: "[roles]",
            doc: " What a token may do, as named sets of permissions. A role given here replaces the one of\n that name, others stand beside. A token is kept\n with its role's name: what it may do is what that role holds at the daemon's last start, and\n nothing once the role is gone.\n",
        });
        for Builtin { path, default, doc, .. } in BUILTIN {
            let kind = Vec::<Permission>::describe();
            entries.push(Entry::Key { path, kind, default, reload: Reload::Restart, doc });
        }
    }

    fn restart_keys_changed(&self, new: &Self, keys: &mut Vec<&'static str>) {
        if self != new {
            keys.push("roles");
        }
    }

    fn take_live(&mut self, _new: &Self) {}
}
