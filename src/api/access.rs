//! Who may call: tokens, what their roles permit, and the argument type that proves it.
//!
//! A token is 256 bits of chance and is kept as an HMAC, under which it is also looked up: how long
//! that takes says nothing of the tokens there are. A valid token is always let in; failed tries of
//! one address are limited, so that guessing costs us little and fills no log. (Refusing valid
//! tokens too would let any neighbour behind the same proxy lock the operator out, and protect
//! nothing: 256 bits are not guessed.)

use super::ApiState;
use super::change::Mirror;
use super::problem::{Code, Problem};
use crate::listen::proxy;
use crate::secrets::{Vault, new_token};
use crate::sign_ins::FailedSignIns;
use crate::store::{Operation, TokenName, TokenRow};
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use config::{Cidr, Permission, Roles};
use jiff::Timestamp;
use model::{Json, Monotonic, Redacted, Tenant};
use mqtt::Acl;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// Longest token that is hashed at all; ours have 43 characters.
const TOKEN_LEN_MAX: usize = 128;
/// Failed tries that one address may make in a minute.
const FAILURES_PER_MINUTE: u32 = 20;
/// In how many seconds an address with too many failures is heard again, at the latest.
const FAILURES_RETRY_AFTER_S: u32 = 60;
/// The role of the token of the first start.
const FIRST_ROLE: &str = "admin";
/// The name of the token of the first start.
const FIRST_NAME: &str = "operator";

/// What a token stands for.
#[derive(Debug)]
pub struct Grant {
    /// Whose data it may touch.
    pub tenant: Tenant,
    /// Its name: the actor of the audit trail.
    pub name: Box<str>,
    /// What it may.
    pub permissions: Vec<Permission>,
    /// What it may publish and read over MQTT, where it names topics.
    pub acl: Option<Arc<Acl>>,
    hash: [u8; 32],
}

impl Grant {
    /// Which token it is.
    pub fn token_name(&self) -> TokenName {
        (self.tenant.clone(), self.name.clone())
    }

    /// Whether it may.
    pub fn permits(&self, permission: Permission) -> bool {
        self.permissions.contains(&permission)
    }
}

/// Every token that is not revoked. Mirrors the store's; shared as `Arc<Access>`.
#[derive(Debug)]
pub struct Access {
    vault: Vault,
    roles: Roles,
    grants: RwLock<HashMap<[u8; 32], Arc<Grant>>>,
    /// Which token made each there ever was.
    makers: RwLock<HashMap<TokenName, Option<TokenName>>>,
    revocations: watch::Sender<u64>,
    failures: FailedSignIns,
}

impl Access {
    /// No tokens yet. `roles` are the configuration's.
    pub fn new(vault: Vault, roles: Roles) -> Self {
        Self {
            vault,
            roles,
            grants: RwLock::default(),
            makers: RwLock::default(),
            revocations: watch::channel(0).0,
            failures: FailedSignIns::new(FAILURES_PER_MINUTE),
        }
    }

    /// Takes over tokens of the store, at start.
    pub fn load(&self, rows: impl IntoIterator<Item = TokenRow>) {
        for row in rows {
            self.put(&row);
        }
    }

    /// Whether there is no token at all: then the first start makes one.
    pub fn is_empty(&self) -> bool {
        self.grants.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// What a role may; `None` where there is no such role.
    pub fn permissions_of(&self, role: &str) -> Option<&[Permission]> {
        self.roles.permissions(role)
    }

    /// Whether one person may hold both tokens: one comes of the other, or both of a third that was
    /// made itself. That of the first start makes everybody's, which says nothing of them.
    pub fn may_be_one(&self, one: &TokenName, other: &TokenName) -> bool {
        let makers = self.makers.read().unwrap_or_else(PoisonError::into_inner);
        let (ones, others) = (line(&makers, one), line(&makers, other));
        let is_made = |it: &TokenName| matches!(makers.get(it), Some(Some(_)));
        let tells = |it: &TokenName| it == one || it == other || is_made(it);
        ones.into_iter().any(|it| others.contains(&it) && tells(it))
    }

    /// What a presented token stands for.
    pub fn sign_in(&self, token: &str) -> Option<Arc<Grant>> {
        if token.len() > TOKEN_LEN_MAX {
            return None;
        }
        let hash = self.vault.hmac(token.as_bytes());
        self.grants.read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned()
    }

    /// Counts a failed try of `from`; says whether it had any left.
    fn count_failure(&self, from: IpAddr, now: Monotonic) -> bool {
        let spent = self.failures.is_spent(from, now);
        if !spent {
            self.failures.count(from, now);
        }
        !spent
    }

    /// Waits until the token is revoked: what was granted by it must end then.
    pub async fn revoked(self: Arc<Self>, grant: Arc<Grant>) {
        let mut revocations = self.revocations.subscribe();
        let stands = || {
            let grants = self.grants.read().unwrap_or_else(PoisonError::into_inner);
            grants.contains_key(&grant.hash)
        };
        while stands() {
            // The sender is ours, so it cannot be gone while we wait.
            let _ = revocations.changed().await;
        }
    }

    /// Told each time when tokens were revoked.
    pub fn revocations(&self) -> watch::Receiver<u64> {
        self.revocations.subscribe()
    }

    /// Whether there is a token of that name that is not revoked.
    pub fn has(&self, tenant: &Tenant, name: &str) -> bool {
        let grants = self.grants.read().unwrap_or_else(PoisonError::into_inner);
        grants.values().any(|grant| grant.tenant == *tenant && *grant.name == *name)
    }

    fn put(&self, row: &TokenRow) {
        let mut makers = self.makers.write().unwrap_or_else(PoisonError::into_inner);
        makers.insert((row.tenant.clone(), row.name.clone()), row.made_by.clone());
        drop(makers);
        if row.is_revoked {
            return;
        }
        // A role that the configuration no longer names permits nothing.
        let permissions = self.roles.permissions(&row.role).unwrap_or_default().to_vec();
        let (tenant, name) = (row.tenant.clone(), row.name.clone());
        // Checked when it was made.
        let acl = row.acl.as_ref().and_then(|acl| acl.parse().ok()).map(Arc::new);
        let grant = Grant { tenant, name, permissions, acl, hash: row.hash };
        let mut grants = self.grants.write().unwrap_or_else(PoisonError::into_inner);
        grants.insert(row.hash, Arc::new(grant));
    }
}

/// A token, which one made it, and so on to the first.
fn line<'a>(
    makers: &'a HashMap<TokenName, Option<TokenName>>,
    token: &'a TokenName,
) -> Vec<&'a TokenName> {
    let makers = std::iter::successors(Some(token), |it| makers.get(it)?.as_ref());
    makers.collect()
}

impl Mirror for Access {
    fn committed(&self, operation: &Operation) {
        match operation {
            Operation::PutToken(row) => self.put(row),
            Operation::RevokeToken { tenant, name } => {
                let mut grants = self.grants.write().unwrap_or_else(PoisonError::into_inner);
                grants.retain(|_, grant| grant.tenant != *tenant || grant.name != *name);
                drop(grants);
                self.revocations.send_modify(|count| *count += 1);
            }
            _ => {}
        }
    }
}

/// The first token, for a store that has none.
#[derive(Debug)]
pub struct FirstToken {
    /// What goes to `operator.token`, once.
    pub token: Redacted<String>,
    /// What keeps it: the row, and its line in the audit trail.
    pub operations: Vec<Operation>,
}

/// Makes the token of the first start: an `admin` of the tenant `default`.
///
/// The caller writes the file (0600), commits the operations and then lets [`Access`] know them by
/// [`Mirror::committed`].
pub fn bootstrap_token(vault: &Vault, now: Timestamp) -> FirstToken {
    let token = new_token();
    let tenant = Tenant::default();
    let row = TokenRow {
        tenant: tenant.clone(),
        name: FIRST_NAME.into(),
        hash: vault.hmac(token.expose().as_bytes()),
        role: FIRST_ROLE.into(),
        created_at: now,
        made_by: None,
        is_revoked: false,
        acl: None,
    };
    let detail = Json::of(&serde_json::json!({ "role": FIRST_ROLE }));
    let line = Operation::audit(&tenant, now, "daemon", "token.create", FIRST_NAME, detail);
    FirstToken { token, operations: vec![Operation::PutToken(row), line] }
}

/// What a handler needs its caller to be permitted.
pub trait Need: Send + Sync + 'static {
    /// The permission; `None` where any valid token will do.
    const PERMISSION: Option<Permission>;
}

/// The needs of this API, one for each permission.
pub mod need {
    use super::{Need, Permission};

    macro_rules! needs {
        ($($name:ident,)+) => { $(
            #[doc = concat!("Needs `Permission::", stringify!($name), "`.")]
            #[derive(Clone, Copy, Debug)]
            pub struct $name;
            impl Need for $name {
                const PERMISSION: Option<Permission> = Some(Permission::$name);
            }
        )+ };
    }

    needs! {
        AuditRead, BoardsWrite, CommandsSend, CredentialsWrite, CustomersRead, CustomersWrite,
        DeadLettersReplay, DevicesRead, DevicesTrace, DevicesWrite, EquipmentRead, EquipmentSecrets,
        EquipmentWrite, EventsRead, HoldsWrite, ImagesRead, ImagesWrite, PaymentsRead,
        PaymentsSettle, PlansRead, ProfilesRead, ProfilesWrite, RolloutsWrite, TokensWrite,
        UploadsRead, UploadsWrite, WaterRead, WaterWrite,
    }

    /// Needs a valid token and no permission.
    #[derive(Clone, Copy, Debug)]
    pub struct AnyToken;

    impl Need for AnyToken {
        const PERMISSION: Option<Permission> = None;
    }
}

/// Proof that the caller may: the first argument of every handler of the API, and the only place a
/// handler can learn whose data it works on.
#[derive(Debug)]
pub struct Authorised<N> {
    /// What the token stands for.
    pub grant: Arc<Grant>,
    need: PhantomData<N>,
}

impl<N> Authorised<N> {
    /// Whose data it is about.
    pub fn tenant(&self) -> &Tenant {
        &self.grant.tenant
    }
}

impl<N: Need> FromRequestParts<ApiState> for Authorised<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Problem> {
        let grant = bearer(parts).and_then(|token| state.access.sign_in(token));
        let Some(grant) = grant else {
            state.metrics.sign_ins_refused.inc();
            let now = state.clock.now().monotonic;
            let from = client_address(parts, &state.options.trusted_proxies);
            let problem = if state.access.count_failure(from, now) {
                Problem::from(Code::Unauthorised)
            } else {
                Problem::from(Code::TooManyTries).retry_after(FAILURES_RETRY_AFTER_S)
            };
            return Err(problem);
        };
        match N::PERMISSION {
            Some(needed) if !grant.permits(needed) => {
                let detail = format!("the token's role lacks `{}`", needed.as_str());
                Err(Problem::new(Code::Forbidden, detail))
            }
            Some(_) | None => Ok(Self { grant, need: PhantomData }),
        }
    }
}

/// The token, where exactly one is given in the only form that is taken (RFC 6750 2.1).
fn bearer(parts: &Parts) -> Option<&str> {
    let mut given = parts.headers.get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = only.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The address at the other end of the connection; an extension of each request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Whom a request comes from: the peer, or whom trusted proxies name.
fn client_address(parts: &Parts, trusted: &[Cidr]) -> IpAddr {
    let peer = parts.extensions.get::<Peer>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    proxy::client(peer, &parts.headers, trusted)
}
