//! Every metric of the listeners and the pipeline, declared once.
//!
//! `lastmile_<part>_<thing>_<unit>[_total]`; labels are bounded words, never a device. The store,
//! delivery and the API declare theirs where they are counted, in the same registry.

mod maker;

pub(crate) use self::maker::Maker;

use model::Protocol;
use prometheus::{Histogram, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Registry};

/// Times from a tenth of a millisecond to the patience of an aggregator.
const SECONDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// The daemon's metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    accepted: IntCounterVec,
    refused: IntCounterVec,
    requests: IntCounterVec,
    faults: IntCounterVec,
    auth_failures: IntCounterVec,
    /// CWMP sessions in progress.
    pub cwmp_sessions: IntGauge,
    /// CPEs that are traced.
    pub cwmp_traces: IntGauge,
    /// How CWMP sessions ended, by reason.
    pub cwmp_sessions_ended: IntCounterVec,
    oddities: IntCounterVec,
    /// Calls that we made of CPEs, by call and outcome.
    pub cwmp_calls: IntCounterVec,
    /// Credentials put on CPEs, by outcome.
    pub credential_pushes: IntCounterVec,
    /// Attempts to wake CPEs, by way and outcome.
    pub connection_requests: IntCounterVec,
    /// Datagrams at the STUN server, by what became of them.
    pub stun_requests: IntCounterVec,
    /// Devices that keep a hole open for us.
    pub stun_bindings: IntGauge,
    /// MQTT connections, by kind of client.
    pub mqtt_sessions: IntGaugeVec,
    /// How MQTT connections ended, by reason.
    pub mqtt_disconnects: IntCounterVec,
    /// MQTT messages by direction.
    pub mqtt_messages: IntCounterVec,
    /// MQTT clients that were made to wait, by reason.
    pub mqtt_slowed: IntCounterVec,
    /// USSD dialogues in progress.
    pub ussd_dialogues: IntGauge,
    /// USSD hops by outcome.
    pub ussd_hops: IntCounterVec,
    /// Time from a USSD hop's arrival to its answer.
    pub ussd_hop_seconds: Histogram,
    /// Time from a fact to its acknowledgement.
    pub ack_seconds: HistogramVec,
    /// Devices in the registry.
    pub devices: IntGauge,
    /// Commands that are not at their end.
    pub commands_open: IntGauge,
    /// Build information.
    pub build: IntGaugeVec,
}

impl Metrics {
    /// Declares everything in `registry`.
    #[expect(clippy::too_many_lines, reason = "one entry for each metric")]
    pub fn new(registry: Registry) -> Result<Self, prometheus::Error> {
        let make = Maker(&registry);
        let metrics = Self {
            accepted: make.counters(
                "lastmile_listen_connections_total",
                "Connections accepted.",
                &["protocol"],
            )?,
            refused: make.counters(
                "lastmile_listen_refused_total",
                "Connections and requests refused before any work, by reason.",
                &["protocol", "reason"],
            )?,
            requests: make.counters(
                "lastmile_listen_requests_total",
                "Requests and packets understood, by kind.",
                &["protocol", "kind"],
            )?,
            faults: make.counters(
                "lastmile_listen_faults_total",
                "Faults of peers that ended their session or request, by code.",
                &["protocol", "code"],
            )?,
            auth_failures: make.counters(
                "lastmile_auth_failures_total",
                "Sign-ins refused, by reason.",
                &["protocol", "reason"],
            )?,
            cwmp_sessions: make.gauge("lastmile_cwmp_sessions", "CWMP sessions in progress.")?,
            cwmp_traces: make.gauge("lastmile_cwmp_traces", "CPEs that are traced.")?,
            cwmp_sessions_ended: make.counters(
                "lastmile_cwmp_sessions_ended_total",
                "CWMP sessions ended, by reason.",
                &["reason"],
            )?,
            oddities: make.counters(
                "lastmile_cwmp_oddities_total",
                "Parts of CPEs' messages that were passed over, by kind.",
                &["kind"],
            )?,
            cwmp_calls: make.counters(
                "lastmile_cwmp_calls_total",
                "Calls made of CPEs, by call and outcome: answered, the code of a fault, other or \
                 not_answered.",
                &["rpc", "outcome"],
            )?,
            connection_requests: make.counters(
                "lastmile_cwmp_connection_requests_total",
                "Attempts to wake CPEs, by way and outcome.",
                &["way", "outcome"],
            )?,
            stun_requests: make.counters(
                "lastmile_cwmp_stun_requests_total",
                "Datagrams at the STUN server, by what became of them.",
                &["outcome"],
            )?,
            credential_pushes: make.counters(
                "lastmile_cwmp_credential_pushes_total",
                "Credentials put on CPEs, by outcome.",
                &["outcome"],
            )?,
            stun_bindings: make.gauge(
                "lastmile_cwmp_stun_bindings",
                "CPEs that keep a hole open through which they can be woken by UDP.",
            )?,
            mqtt_sessions: make.gauges(
                "lastmile_mqtt_sessions",
                "MQTT clients connected, by kind: board, program.",
                &["kind"],
            )?,
            mqtt_disconnects: make.counters(
                "lastmile_mqtt_disconnects_total",
                "MQTT connections ended, by reason.",
                &["reason"],
            )?,
            mqtt_messages: make.counters(
                "lastmile_mqtt_messages_total",
                "MQTT messages, by direction: up is what clients published and may publish, down what \
                 they were sent.",
                &["direction"],
            )?,
            mqtt_slowed: make.counters(
                "lastmile_mqtt_slowed_total",
                "MQTT clients made to wait, by reason: publish_rate, their own; publish_rate_tenant; \
                 unsettled, as much of theirs as may waits for its commit; reconnect_rate, they \
                 connect again and again.",
                &["reason"],
            )?,
            ussd_dialogues: make.gauge("lastmile_ussd_dialogues", "USSD dialogues in progress.")?,
            ussd_hops: make.counters(
                "lastmile_ussd_hops_total",
                "USSD hops, by outcome.",
                &["outcome"],
            )?,
            ussd_hop_seconds: make.histogram(
                "lastmile_ussd_hop_seconds",
                "Time from a USSD hop's arrival to its answer.",
                &SECONDS,
            )?,
            ack_seconds: make.histograms(
                "lastmile_pipeline_ack_seconds",
                "Time from a fact to its acknowledgement, by protocol.",
                &["protocol"],
                &SECONDS,
            )?,
            devices: make.gauge("lastmile_registry_devices", "Devices in the registry.")?,
            commands_open: make
                .gauge("lastmile_commands_open", "Commands that are not at their end.")?,
            build: make.gauges(
                "lastmile_build_info",
                "Always 1; the version is in the label.",
                &["version"],
            )?,
            registry: registry.clone(),
        };
        metrics.build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(metrics)
    }

    /// The registry behind it.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A request or packet that was understood.
    pub fn request(&self, protocol: Protocol, kind: &str) {
        self.requests.with_label_values(&[protocol.as_str(), kind]).inc();
    }

    /// A peer's fault.
    pub fn fault(&self, protocol: Protocol, code: &str) {
        self.faults.with_label_values(&[protocol.as_str(), code]).inc();
    }

    /// Parts of a CPE's message that were passed over, and nothing else of it.
    pub fn oddities(&self, kind: &str, count: u32) {
        // Nearly every message has none: then there is nothing to look up.
        if count > 0 {
            self.oddities.with_label_values(&[kind]).inc_by(count.into());
        }
    }

    /// A refused sign-in.
    pub fn auth_failure(&self, protocol: Protocol, reason: &str) {
        self.auth_failures.with_label_values(&[protocol.as_str(), reason]).inc();
    }

    /// The counters of one listener.
    pub fn listener(&self, protocol: &'static str) -> ListenerMetrics {
        ListenerMetrics { metrics: self.clone(), protocol }
    }
}

/// What one listener counts.
#[derive(Clone, Debug)]
pub struct ListenerMetrics {
    metrics: Metrics,
    protocol: &'static str,
}

impl ListenerMetrics {
    /// A connection was accepted.
    pub fn accepted(&self) {
        self.metrics.accepted.with_label_values(&[self.protocol]).inc();
    }

    /// A peer's fault that ended its connection.
    pub fn fault(&self, code: &str) {
        self.metrics.faults.with_label_values(&[self.protocol, code]).inc();
    }

    /// A connection or request was refused before any work.
    pub fn refused(&self, reason: &str) {
        self.metrics.refused.with_label_values(&[self.protocol, reason]).inc();
    }
}
