//! Opening the ports of devices and aggregators.

use super::{Addresses, Core, StartError, payments};
use crate::household::{Answers, Backend, Household, Routers};
use crate::listen::beam::{self, Beam, BeamOptions, BeamParts};
use crate::listen::cwmp::{CwmpListener, CwmpOptions, CwmpParts};
use crate::listen::http::{
    Files, Funnel, FunnelParts, Hops, HopsOptions, HopsParts, OfferParts, Offers, PublicListener,
    PublicOptions,
};
use crate::listen::mqtt::{MqttListener, MqttOptions, MqttParts};
use crate::listen::stun::StunListener;
use crate::listen::tls::{Certificate, ClientCertificates};
use crate::listen::{self, Port, Upgrade};
use crate::outcall::{self, Outcall};
use crate::provision::{Provision, StunServer};
use crate::quirks::Rule;
use crate::settings::{self, Settings};
use crate::shutdown::Stage;
use crate::transfers::Base;
use crate::wake::{Bindings, UdpCaller};
use config::{Auth, BackendKind, BoardCertificates, Config, Discovery, HostPort, HttpUrl};
use cwmp::auth::NonceKey;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::sync::Semaphore;

/// Connections that the system may hold before they are accepted: a restart brings everyone back.
const BACKLOG: u32 = 4_096;

/// What was opened.
pub(super) struct Opened {
    pub(super) addresses: Addresses,
    pub(super) certificates: Vec<Arc<Certificate>>,
}

/// Opens every port and starts to accept.
pub(super) async fn start(
    settings: &Settings,
    core: &Core,
    stun: Option<StunServer>,
    stage: &Stage,
) -> Result<Opened, StartError> {
    let config = &settings.config;
    let certificates = Certificates::open(config)?;

    let cwmp = cwmp(config, core, certificates.cwmp.as_ref(), stun, stage).await?;
    let mqtt = mqtt(config, core, certificates.mqtt.as_ref(), stage).await?;
    let public = public(settings, core, stage).await?;
    // The operator's own port is not opened here.
    let addresses = Addresses { cwmp, mqtt, public, operator: config.operator.listen };
    Ok(Opened { addresses, certificates: certificates.all() })
}

/// Opens the STUN server's port where one is wanted; with what devices are told of it, and the way to
/// wake them through it.
pub(super) async fn stun(
    config: &Config,
    core: &Core,
    stage: &Stage,
) -> Result<Option<(StunServer, UdpCaller)>, StartError> {
    let Some(listen) = config.cwmp.stun_listen else { return Ok(None) };
    let socket = UdpSocket::bind(listen).await;
    let socket = socket.map_err(|error| format!("cannot listen on {listen}/udp: {error}"))?;
    let socket = Arc::new(socket);
    let (registry, tenant) = (&core.registry, model::Tenant::default());
    let bindings = Arc::new(Bindings::new(&core.vault, registry, &tenant));
    let given = config.cwmp.stun_address.as_ref();
    let host = given.map(HostPort::host).or_else(|| config.cwmp.url.as_ref().map(HttpUrl::host));
    let port = given.and_then(HostPort::port);
    let server = StunServer {
        host: host.map(Into::into),
        port: port.unwrap_or(socket.local_addr()?.port()),
        bindings: Arc::clone(&bindings),
    };
    let udp = UdpCaller::new(Arc::clone(&socket), Arc::clone(&bindings));
    let listener = StunListener::new(socket, bindings, core.metrics.clone(), core.clock);
    stage.spawn(listener.serve(stage.clone()));
    Ok(Some((server, udp)))
}

/// The certificates of the listeners with TLS: one, unless CPEs or boards are asked for theirs.
struct Certificates {
    cwmp: Option<Arc<Certificate>>,
    mqtt: Option<Arc<Certificate>>,
}

impl Certificates {
    fn open(config: &Config) -> Result<Self, StartError> {
        let with_tls =
            [config.cwmp.tls_listen, config.mqtt.tls_listen, config.mqtt.websocket_tls_listen];
        if with_tls.iter().all(Option::is_none) {
            return Ok(Self { cwmp: None, mqtt: None });
        }
        let (cert, key) = match (&config.tls.cert, &config.tls.key) {
            (Some(cert), Some(key)) => (cert.clone(), key.clone()),
            _ => {
                let dir = config.data_dir.join("tls");
                crate::files::make_private_dir(&dir)?;
                let names = vec![config.node.as_str().to_owned(), "localhost".to_owned()];
                let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
                Certificate::make(&cert, &key, names)?;
                (cert, key)
            }
        };
        let open = |clients| Certificate::read(&cert, &key, clients).map(Arc::new);
        let common = open(None)?;
        let asking = |clients: Option<ClientCertificates>| match clients {
            Some(clients) => open(Some(clients)),
            None => Ok(Arc::clone(&common)),
        };
        let cwmp = asking(settings::client_certificates(config))?;
        let mqtt = asking(settings::board_certificates(config))?;
        Ok(Self { cwmp: Some(cwmp), mqtt: Some(mqtt) })
    }

    fn all(self) -> Vec<Arc<Certificate>> {
        let mut all: Vec<_> = self.cwmp.into_iter().chain(self.mqtt).collect();
        all.dedup_by(|one, other| Arc::ptr_eq(one, other));
        all
    }
}

/// Opens a port; the error names the address, for "address in use" alone helps nobody.
pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let open = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        // Answers are small and waited for: Nagle's algorithm would hold them back. What is accepted
        // inherits it, which saves a call for each.
        socket.set_nodelay(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    open().map_err(|error| format!("cannot listen on {address}: {error}").into())
}

/// The ports of a protocol, which share its bounds of connections. The first one's address is what
/// whoever asked for port 0 is told.
struct Ports<'a> {
    core: &'a Core,
    protocol: &'static str,
    connections: Arc<Semaphore>,
    addresses: Option<Arc<listen::Addresses>>,
    open: Vec<Port>,
}

impl<'a> Ports<'a> {
    fn new(core: &'a Core, protocol: &'static str, connections_max: usize) -> Self {
        let connections = Arc::new(Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)));
        Self { core, protocol, connections, addresses: None, open: Vec::new() }
    }

    async fn open(
        &mut self,
        address: SocketAddr,
        certificate: Option<&Arc<Certificate>>,
        upgrade: Option<&Arc<Upgrade>>,
    ) -> Result<SocketAddr, StartError> {
        let socket = bind(address).await?;
        let address = socket.local_addr()?;
        self.open.push(Port {
            socket,
            certificate: certificate.cloned(),
            connections: Arc::clone(&self.connections),
            addresses: self.addresses.clone(),
            upgrade: upgrade.cloned(),
            metrics: self.core.metrics.listener(self.protocol),
        });
        Ok(address)
    }

    /// Without TLS, and with it where it is wanted.
    async fn open_both(
        &mut self,
        plain: SocketAddr,
        tls: Option<SocketAddr>,
        certificate: Option<&Arc<Certificate>>,
    ) -> Result<SocketAddr, StartError> {
        let address = self.open(plain, None, None).await?;
        if let (Some(tls), Some(certificate)) = (tls, certificate) {
            self.open(tls, Some(certificate), None).await?;
        }
        Ok(address)
    }
}

async fn cwmp(
    config: &Config,
    core: &Core,
    certificate: Option<&Arc<Certificate>>,
    stun: Option<StunServer>,
    stage: &Stage,
) -> Result<SocketAddr, StartError> {
    let provision = Provision::new(
        Arc::clone(&core.registry),
        core.writer.clone(),
        core.vault.clone(),
        core.clock,
        config.cwmp.url.as_ref().map(|url| url.as_str().into()),
        stun,
    );
    let parts = CwmpParts {
        pipeline: Arc::clone(&core.pipeline),
        registry: Arc::clone(&core.registry),
        desk: Arc::clone(&core.desk),
        credentials: Arc::clone(&core.credentials),
        provision: Arc::new(provision),
        provisioner: Arc::clone(&core.provisioner),
        data_models: Arc::clone(&core.data_models),
        transfers: Arc::clone(&core.transfers),
        upgrades: Arc::clone(&core.upgrades),
        wakes: Arc::clone(&core.wakes),
        metrics: core.metrics.clone(),
        clock: core.clock,
        traces: Arc::clone(&core.traces),
        nonce_key: NonceKey::new(core.vault.derive("cwmp nonces")),
    };
    let settings = &config.cwmp;
    let options = CwmpOptions {
        requires_sign_in: settings.auth == Auth::Required,
        allows_basic: settings.allow_basic,
        requires_certificate: settings.client_certificates == config::ClientCertificates::Required,
        trusted_proxies: config.trusted_proxies.clone(),
        body_max: settings.body_max.as_usize(),
        body_decoded_max: settings.body_decoded_max.as_usize(),
        header_timeout: settings.header_timeout.get(),
        body_timeout: settings.body_timeout.get(),
        session_max: settings.session_max.get(),
        failed_sign_ins_per_minute: settings.failed_sign_ins_per_minute.get(),
        devices_max: config.store.devices_max.as_usize(),
        sessions_max: settings.sessions_max.as_usize(),
        discovers: settings.discovery == Discovery::FirstContact,
        quirks: settings.quirk.iter().map(Rule::from).collect(),
        session: cwmp::Options {
            body_bytes_max: settings.body_decoded_max.as_usize(),
            idle_timeout: settings.session_idle.get(),
            requests_max: settings.session_requests_max.get(),
            event_per_inform: config.events.informs,
            ..cwmp::Options::default()
        },
    };
    let mut ports = Ports::new(core, "cwmp", settings.connections_max.as_usize());
    let address = ports.open_both(settings.listen, settings.tls_listen, certificate).await?;
    let listener = CwmpListener::new(parts, options);
    for port in ports.open {
        stage.spawn(Arc::clone(&listener).serve(port, stage.clone()));
    }
    stage.spawn(listener.reap(stage.clone()));
    Ok(address)
}

async fn mqtt(
    config: &Config,
    core: &Core,
    certificate: Option<&Arc<Certificate>>,
    stage: &Stage,
) -> Result<SocketAddr, StartError> {
    let parts = MqttParts {
        pipeline: Arc::clone(&core.pipeline),
        registry: Arc::clone(&core.registry),
        desk: Arc::clone(&core.desk),
        lines: Arc::clone(&core.lines),
        exchange: Arc::clone(&core.exchange),
        credentials: Arc::clone(&core.credentials),
        access: Arc::clone(&core.access),
        metrics: core.metrics.clone(),
        clock: core.clock,
    };
    let listener = MqttListener::new(parts, mqtt_options(config)?);
    let (address, ports) = mqtt_ports(config, core, certificate).await?;
    for port in ports {
        stage.spawn(Arc::clone(&listener).serve(port, stage.clone()));
    }
    stage.spawn(listener.forget_revoked(stage.clone()));
    Ok(address)
}

fn mqtt_options(config: &Config) -> Result<MqttOptions, StartError> {
    let settings = &config.mqtt;
    Ok(MqttOptions {
        requires_sign_in: settings.auth == Auth::Required,
        requires_certificate: settings.client_certificates == BoardCertificates::Required,
        acl: settings::board_acl(config)?,
        failed_sign_ins_per_minute: settings.failed_sign_ins_per_minute.get(),
        connect_rate_max: settings.connect_rate_max.map(config::Bounded::get),
        reconnects_per_minute_max: settings.reconnects_per_minute_max.get(),
        publish_rate_tenant_max: settings.publish_rate_tenant_max.map(config::Bounded::get),
        devices_max: config.store.devices_max.as_usize(),
        slow_reader_timeout: settings.slow_reader_timeout.get(),
        session: mqtt::Options {
            connect_timeout: settings.connect_timeout.get(),
            packet_len_max: settings.packet_max.as_usize(),
            keep_alive_max: settings.keep_alive_max.get(),
            topic: mqtt::TopicLimits {
                len_max: settings.topic_bytes_max.as_usize(),
                levels_max: settings.topic_levels_max.as_usize(),
            },
            subscriptions_max: settings.subscriptions_max.as_usize(),
            unsettled_max: settings.unsettled_max.as_usize(),
            unreleased_max_3x: settings.unreleased_max_3x.as_usize(),
            publish_rate_max: settings.publish_rate_max.get(),
            inflight_max: settings.inflight_max.as_usize(),
            connect_len_max: settings.connect_max.as_usize(),
            unsettled_bytes_max: settings.unsettled_bytes_max.as_usize(),
            output_bytes_max: settings.output_bytes_max.as_usize(),
            receive_max: u16::try_from(settings.receive_max.get()).unwrap_or(u16::MAX),
            topic_alias_max: u16::try_from(settings.topic_alias_max.get()).unwrap_or(u16::MAX),
            session_expiry_3x: settings.session_expiry_3x.get(),
            presence: config.events.presence,
        },
    })
}

/// With and without TLS, straight and through WebSocket.
async fn mqtt_ports(
    config: &Config,
    core: &Core,
    certificate: Option<&Arc<Certificate>>,
) -> Result<(SocketAddr, Vec<Port>), StartError> {
    let settings = &config.mqtt;
    let mut ports = Ports::new(core, "mqtt", settings.connections_max.as_usize());
    ports.addresses =
        settings.connections_per_address_max.map(|max| listen::Addresses::new(max.get()));
    let address = ports.open_both(settings.listen, settings.tls_listen, certificate).await?;
    let upgrade = Arc::new(Upgrade {
        timeout: settings.websocket_handshake_timeout.get(),
        message_len_max: settings.websocket_frame_max.as_usize(),
        trusted_proxies: config.trusted_proxies.clone(),
        metrics: core.metrics.listener("mqtt"),
    });
    if let Some(listen) = settings.websocket_listen {
        ports.open(listen, None, Some(&upgrade)).await?;
    }
    if let (Some(listen), Some(certificate)) = (settings.websocket_tls_listen, certificate) {
        ports.open(listen, Some(certificate), Some(&upgrade)).await?;
    }
    Ok((address, ports.open))
}

async fn public(settings: &Settings, core: &Core, stage: &Stage) -> Result<SocketAddr, StartError> {
    let config = &settings.config;
    let parts = HopsParts {
        pipeline: Arc::clone(&core.pipeline),
        household: Arc::new(household(settings, core)?),
        book: Arc::clone(&core.book),
        metrics: core.metrics.clone(),
        clock: core.clock,
    };
    let one = NonZeroU32::MIN;
    let options = HopsOptions {
        rate_per_number: NonZeroU32::new(config.ussd.rate_per_number.get()).unwrap_or(one),
        dialogue: ussd::Options {
            dialogues_max: config.ussd.dialogues_max.as_usize(),
            idle_timeout: config.ussd.dialogue_idle.get(),
            reply_within: config.ussd.ask_deadline.get(),
            replay_window: config.ussd.replay_window.get(),
            resume_within: config.ussd.resume_within.get(),
            resumes_max: config.ussd.resumes_max.as_usize(),
            ..ussd::Options::default()
        },
    };
    let hops = Hops::new(parts, options);
    stage.spawn(Arc::clone(&hops).reap(stage.clone()));
    let options = PublicOptions {
        trusted_proxies: config.trusted_proxies.clone(),
        body_max: config.public.body_max.as_usize(),
        header_timeout: config.public.header_timeout.get(),
    };
    let mut ports = Ports::new(core, "public", config.public.connections_max.as_usize());
    let address = ports.open_both(config.public.listen, None, None).await?;
    let url = config
        .public
        .url
        .as_ref()
        .map_or_else(|| format!("http://{address}"), |url| url.as_str().to_owned());
    core.transfers.set_base(public_base(config, address));
    for service in core.book.services().keys() {
        tracing::info!("aggregators call {url}/ussd/{service}/<secret>");
    }
    let files = Files {
        transfers: Arc::clone(&core.transfers),
        pipeline: Arc::clone(&core.pipeline),
        desk: Arc::clone(&core.desk),
        upgrades: Arc::clone(&core.upgrades),
        metrics: core.metrics.clone(),
    };
    let offers = offers(config, core);
    let beam = beam(settings, core, stage).await?;
    let parts = FunnelParts {
        pipeline: Arc::clone(&core.pipeline),
        access: Arc::clone(&core.access),
        clock: core.clock,
    };
    let messages = (beam, Funnel::new(parts, config, core.metrics.registry())?);
    let (metrics, files) = (core.metrics.clone(), (files, offers));
    let payments = payments::calls(settings, core)?;
    let mut routes: listen::http::Routes =
        vec![("ussd", Arc::new(hops)), ("payments", Arc::new(payments))];
    routes.extend(super::sms::route(settings, core)?);
    let listener = PublicListener::new(files, messages, routes, metrics, options);
    for port in ports.open {
        stage.spawn(Arc::clone(&listener).serve(port, stage.clone()));
    }
    Ok(address)
}

fn offers(config: &Config, core: &Core) -> Offers {
    let parts = OfferParts {
        pipeline: Arc::clone(&core.pipeline),
        registry: Arc::clone(&core.registry),
        credentials: Arc::clone(&core.credentials),
        upgrades: Arc::clone(&core.upgrades),
        transfers: Arc::clone(&core.transfers),
        metrics: core.metrics.clone(),
        clock: core.clock,
    };
    Offers::new(parts, config)
}

/// Opens Beam's own ports where any are wanted; `/beam` is always there.
async fn beam(settings: &Settings, core: &Core, stage: &Stage) -> Result<Arc<Beam>, StartError> {
    let config = &settings.config;
    let parts = BeamParts {
        pipeline: Arc::clone(&core.pipeline),
        boards: Arc::clone(&core.boards),
        registry: Arc::clone(&core.registry),
        metrics: beam::Metrics::new(core.metrics.registry())?,
        clock: core.clock,
    };
    let beam = Beam::new(parts, settings.beam_key.clone(), BeamOptions::from(config));
    if let Some(listen) = config.beam.tcp_listen {
        let mut ports = Ports::new(core, "beam", config.beam.connections_max.as_usize());
        ports.open(listen, None, None).await?;
        for port in ports.open {
            stage.spawn(beam::serve_tcp(Arc::clone(&beam), port, stage.clone()));
        }
    }
    if let Some(listen) = config.beam.udp_listen {
        let socket = UdpSocket::bind(listen).await;
        let socket = socket.map_err(|error| format!("cannot listen on {listen}/udp: {error}"))?;
        stage.spawn(beam::serve_udp(Arc::clone(&beam), socket, stage.clone()));
    }
    Ok(beam)
}

/// How devices reach the public listener: as the operator says, else at the host at which they reach
/// CWMP, else at the address that it listens on, where that is one; else where each device calls.
fn public_base(config: &Config, address: SocketAddr) -> Base {
    if let Some(url) = &config.public.url {
        return Base::Url(url.as_str().into());
    }
    if let Some(url) = &config.cwmp.url {
        let host = url.host();
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        return Base::Url(format!("http://{bracketed}:{}", address.port()).into());
    }
    if address.ip().is_unspecified() {
        return Base::Called(address.port());
    }
    Base::Url(format!("http://{address}").into())
}

fn household(settings: &Settings, core: &Core) -> Result<Household, StartError> {
    let backend = match &settings.config.backend.url {
        Some(url) if settings.config.backend.kind == BackendKind::Http => {
            let of = &settings.config.backend;
            let guard = Arc::new(super::delivery::Networks(of.networks.clone()));
            let outcall = Outcall::new(of.timeout.get(), guard, core.clock)?;
            let base = outcall::Base::new(url.as_str(), settings.backend_token.as_ref())?;
            Some(Backend { outcall, base })
        }
        Some(_) | None => None,
    };
    let (registry, desk) = (Arc::clone(&core.registry), Arc::clone(&core.desk));
    let effects = Arc::clone(&core.effects);
    let routers = Routers { registry, desk, effects: Arc::clone(&effects) };
    let parts: Vec<Arc<dyn Answers>> = vec![Arc::new(routers), Arc::clone(&core.water) as _];
    Ok(Household { parts, effects, clock: core.clock, backend })
}
