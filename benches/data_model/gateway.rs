//! A gateway with as many parameters as are asked for: paths, types and values as the tables of
//! TR-098 have them, beside a vendor's own.

use model::{NameEntry, Reading, Redacted};

/// What a value looks like.
#[derive(Clone, Copy)]
enum Look {
    Flag,
    /// One of these.
    Word(&'static [&'static str]),
    /// Counts up; a number of so many digits.
    Count(u32),
    Address,
    Mac,
    Time,
    /// A number below this.
    Small(u64),
    /// Differs from instance to instance.
    Text(&'static str),
    /// Nobody knows.
    Secret,
}

use Look::{Address, Count, Flag, Mac, Secret, Small, Text, Time, Word};

/// A table: where it is (with `{}` for each instance), its instances, the parameters of one.
struct Table {
    path: &'static str,
    instances: u64,
    parameters: &'static [(&'static str, bool, Look)],
}

const UP: Look = Word(&["Up", "Up", "Up", "Disabled", "NoLink"]);

const TABLES: [Table; 14] = [
    Table {
        path: "DeviceInfo.",
        instances: 1,
        parameters: &[
            ("Manufacturer", false, Text("Example Networks Co., Ltd.")),
            ("ManufacturerOUI", false, Text("00AB12")),
            ("ModelName", false, Text("EN8245")),
            ("SerialNumber", false, Text("454E3832A1")),
            ("HardwareVersion", false, Text("130D.A")),
            ("SoftwareVersion", false, Text("V5R020C00S1")),
            ("ProvisioningCode", true, Text("fibre.home")),
            ("UpTime", false, Count(7)),
            ("FirstUseDate", false, Time),
            ("MemoryStatus.Total", false, Small(262_144)),
            ("MemoryStatus.Free", false, Small(131_072)),
            ("ProcessStatus.CPUUsage", false, Small(100)),
        ],
    },
    Table {
        path: "ManagementServer.",
        instances: 1,
        parameters: &[
            ("URL", true, Text("https://acs.example.net/cwmp")),
            ("Username", true, Text("454E3832A1")),
            ("Password", true, Secret),
            ("PeriodicInformEnable", true, Flag),
            ("PeriodicInformInterval", true, Small(86_400)),
            ("PeriodicInformTime", true, Time),
            ("ParameterKey", false, Text("01J9ZX")),
            ("ConnectionRequestURL", false, Text("http://100.64.3.7:7547/aZ4k")),
            ("ConnectionRequestUsername", true, Text("acs")),
            ("ConnectionRequestPassword", true, Secret),
            ("UpgradesManaged", true, Flag),
        ],
    },
    Table {
        path: "LANDevice.1.WLANConfiguration.{}.",
        instances: 8,
        parameters: &[
            ("Enable", true, Flag),
            ("Status", false, UP),
            ("BSSID", false, Mac),
            ("MaxBitRate", true, Word(&["Auto", "866"])),
            ("Channel", true, Small(165)),
            ("SSID", true, Text("Home-")),
            ("BeaconType", true, Word(&["11i", "WPAand11i", "Basic"])),
            ("MACAddressControlEnabled", true, Flag),
            ("Standard", true, Word(&["n", "ac", "ax"])),
            ("WEPKeyIndex", true, Small(4)),
            ("KeyPassphrase", true, Secret),
            ("WEPEncryptionLevel", false, Word(&["Disabled,40-bit,104-bit"])),
            ("BasicEncryptionModes", true, Word(&["None", "WEPEncryption"])),
            ("WPAEncryptionModes", true, Word(&["AESEncryption", "TKIPandAESEncryption"])),
            ("WPAAuthenticationMode", true, Word(&["PSKAuthentication"])),
            ("IEEE11iEncryptionModes", true, Word(&["AESEncryption"])),
            ("IEEE11iAuthenticationMode", true, Word(&["PSKAuthentication"])),
            ("PossibleChannels", false, Word(&["1,2,3,4,5,6,7,8,9,10,11,12,13", "36,40,44,48"])),
            ("BasicDataTransmitRates", true, Word(&["1,2,5.5,11"])),
            ("OperationalDataTransmitRates", true, Word(&["1,2,5.5,6,9,11,12,18,24,36,48,54"])),
            ("BeaconAdvertisementEnabled", true, Flag),
            ("SSIDAdvertisementEnabled", true, Flag),
            ("RadioEnabled", true, Flag),
            ("AutoRateFallBackEnabled", true, Flag),
            ("LocationDescription", true, Text("")),
            ("RegulatoryDomain", true, Word(&["KE", "NG"])),
            ("TotalPSKFailures", false, Small(9)),
            ("TotalIntegrityFailures", false, Small(9)),
            ("ChannelsInUse", false, Small(165)),
            ("DeviceOperationMode", true, Word(&["InfrastructureAccessPoint"])),
            ("DistanceFromRoot", true, Small(2)),
            ("AuthenticationServiceMode", true, Word(&["None"])),
            ("TotalBytesSent", false, Count(10)),
            ("TotalBytesReceived", false, Count(10)),
            ("TotalPacketsSent", false, Count(8)),
            ("TotalPacketsReceived", false, Count(8)),
            ("TotalAssociations", false, Small(32)),
            ("X_EN_Wlan11NBWControl", true, Small(4)),
            ("X_EN_TransmitPower", true, Small(100)),
            ("X_EN_Band", false, Word(&["2.4G", "5G"])),
        ],
    },
    Table {
        path: "LANDevice.1.WLANConfiguration.1.AssociatedDevice.{}.",
        instances: 32,
        parameters: &[
            ("AssociatedDeviceMACAddress", false, Mac),
            ("AssociatedDeviceIPAddress", false, Address),
            ("AssociatedDeviceAuthenticationState", false, Flag),
            ("LastRequestedUnicastCipher", false, Word(&["AES"])),
            ("LastRequestedMulticastCipher", false, Word(&["AES"])),
            ("X_EN_SignalStrength", false, Small(90)),
            ("X_EN_TxRate", false, Small(1_201)),
        ],
    },
    Table {
        path: "LANDevice.1.LANEthernetInterfaceConfig.{}.",
        instances: 4,
        parameters: &[
            ("Enable", true, Flag),
            ("Status", false, UP),
            ("MACAddress", false, Mac),
            ("MACAddressControlEnabled", true, Flag),
            ("MaxBitRate", true, Word(&["Auto"])),
            ("DuplexMode", true, Word(&["Auto"])),
            ("Stats.BytesSent", false, Count(10)),
            ("Stats.BytesReceived", false, Count(10)),
            ("Stats.PacketsSent", false, Count(8)),
            ("Stats.PacketsReceived", false, Count(8)),
        ],
    },
    Table {
        path: "LANDevice.1.Hosts.Host.{}.",
        instances: 64,
        parameters: &[
            ("IPAddress", false, Address),
            ("AddressSource", false, Word(&["DHCP", "Static"])),
            ("LeaseTimeRemaining", false, Small(86_400)),
            ("MACAddress", false, Mac),
            ("HostName", false, Text("android-")),
            ("InterfaceType", false, Word(&["802.11", "Ethernet"])),
            ("VendorClassID", true, Word(&["android-dhcp-13", "MSFT 5.0", ""])),
            ("Active", false, Flag),
            ("Layer2Interface", false, Word(&["LANDevice.1.WLANConfiguration.1"])),
        ],
    },
    Table {
        path: "WANDevice.1.WANConnectionDevice.{}.WANIPConnection.1.",
        instances: 8,
        parameters: &[
            ("Enable", true, Flag),
            ("ConnectionStatus", false, Word(&["Connected", "Disconnected", "Unconfigured"])),
            ("ConnectionType", true, Word(&["IP_Routed", "IP_Bridged"])),
            ("PossibleConnectionTypes", false, Word(&["Unconfigured,IP_Routed,IP_Bridged"])),
            ("Name", true, Text("INTERNET_R_VID_")),
            ("Uptime", false, Count(6)),
            ("LastConnectionError", false, Word(&["ERROR_NONE", "ERROR_NO_CARRIER"])),
            ("AutoDisconnectTime", true, Small(1)),
            ("IdleDisconnectTime", true, Small(1)),
            ("RSIPAvailable", false, Flag),
            ("NATEnabled", true, Flag),
            ("AddressingType", true, Word(&["DHCP", "Static"])),
            ("ExternalIPAddress", true, Address),
            ("SubnetMask", true, Word(&["255.255.255.0", "255.255.252.0"])),
            ("DefaultGateway", true, Address),
            ("DNSEnabled", true, Flag),
            ("DNSServers", true, Word(&["196.201.214.1,196.201.214.2"])),
            ("MaxMTUSize", true, Word(&["1500", "1492"])),
            ("MACAddress", true, Mac),
            ("ConnectionTrigger", true, Word(&["AlwaysOn", "OnDemand"])),
            ("RouteProtocolRx", true, Word(&["Off"])),
            ("X_EN_VLAN", true, Small(4_095)),
            ("X_EN_ServiceList", true, Word(&["INTERNET", "TR069", "VOIP"])),
            ("Stats.EthernetBytesSent", false, Count(10)),
            ("Stats.EthernetBytesReceived", false, Count(11)),
            ("Stats.EthernetPacketsSent", false, Count(8)),
            ("Stats.EthernetPacketsReceived", false, Count(9)),
        ],
    },
    Table {
        path: "WANDevice.1.WANConnectionDevice.1.WANIPConnection.1.PortMapping.{}.",
        instances: 48,
        parameters: &[
            ("PortMappingEnabled", true, Flag),
            ("PortMappingLeaseDuration", true, Small(1)),
            ("RemoteHost", true, Text("")),
            ("ExternalPort", true, Small(65_535)),
            ("ExternalPortEndRange", true, Small(65_535)),
            ("InternalPort", true, Small(65_535)),
            ("PortMappingProtocol", true, Word(&["TCP", "UDP"])),
            ("InternalClient", true, Address),
            ("PortMappingDescription", true, Text("camera")),
        ],
    },
    Table {
        path: "WANDevice.1.WANCommonInterfaceConfig.",
        instances: 1,
        parameters: &[
            ("EnabledForInternet", true, Flag),
            ("WANAccessType", false, Word(&["GPON"])),
            ("Layer1UpstreamMaxBitRate", false, Count(10)),
            ("Layer1DownstreamMaxBitRate", false, Count(10)),
            ("PhysicalLinkStatus", false, UP),
            ("TotalBytesSent", false, Count(12)),
            ("TotalBytesReceived", false, Count(12)),
        ],
    },
    Table {
        path: "Layer3Forwarding.Forwarding.{}.",
        instances: 32,
        parameters: &[
            ("Enable", true, Flag),
            ("Status", false, Word(&["Enabled", "Disabled"])),
            ("StaticRoute", false, Flag),
            ("Type", true, Word(&["Network", "Host", "Default"])),
            ("DestIPAddress", true, Address),
            ("DestSubnetMask", true, Word(&["255.255.255.0", "255.255.255.255", "0.0.0.0"])),
            ("SourceIPAddress", true, Text("")),
            ("GatewayIPAddress", true, Address),
            ("Interface", true, Word(&["WANDevice.1.WANConnectionDevice.1.WANIPConnection.1"])),
            ("ForwardingMetric", true, Small(16)),
            ("MTU", true, Word(&["1500"])),
        ],
    },
    Table {
        path: "Services.VoiceService.1.VoiceProfile.1.Line.{}.",
        instances: 4,
        parameters: &[
            ("Enable", true, Word(&["Enabled", "Disabled"])),
            ("DirectoryNumber", true, Text("+25420")),
            ("Status", false, Word(&["Up", "Registering", "Disabled"])),
            ("CallState", false, Word(&["Idle", "InCall"])),
            ("SIP.AuthUserName", true, Text("+25420")),
            ("SIP.AuthPassword", true, Secret),
            ("SIP.URI", true, Text("sip:+25420")),
            ("CallingFeatures.CallerIDEnable", true, Flag),
            ("CallingFeatures.CallWaitingEnable", true, Flag),
            ("CallingFeatures.CallForwardUnconditionalEnable", true, Flag),
            ("CallingFeatures.CallForwardUnconditionalNumber", true, Text("")),
            ("VoiceProcessing.TransmitGain", true, Small(10)),
            ("VoiceProcessing.ReceiveGain", true, Small(10)),
            ("VoiceProcessing.EchoCancellationEnable", true, Flag),
            ("Stats.PacketsSent", false, Count(7)),
            ("Stats.PacketsReceived", false, Count(7)),
            ("Stats.PacketsLost", false, Count(3)),
            ("Stats.IncomingCallsReceived", false, Count(3)),
            ("Stats.OutgoingCallsAttempted", false, Count(3)),
        ],
    },
    Table {
        path: "Services.VoiceService.1.Capabilities.Codecs.{}.",
        instances: 12,
        parameters: &[
            ("EntryID", false, Small(12)),
            ("Codec", false, Word(&["G.711MuLaw", "G.711ALaw", "G.729", "G.722"])),
            ("BitRate", false, Word(&["64000", "8000"])),
            ("PacketizationPeriod", false, Word(&["10,20,30"])),
            ("SilenceSuppression", false, Flag),
        ],
    },
    Table {
        path: "X_EN_FireWall.Rule.{}.",
        instances: 128,
        parameters: &[
            ("Enable", true, Flag),
            ("Direction", true, Word(&["In", "Out"])),
            ("Protocol", true, Word(&["TCP", "UDP", "ICMP"])),
            ("SourceIPStart", true, Address),
            ("SourceIPEnd", true, Address),
            ("DestPortStart", true, Small(65_535)),
            ("DestPortEnd", true, Small(65_535)),
            ("Action", true, Word(&["Accept", "Drop"])),
            ("HitCount", false, Count(5)),
            ("Description", true, Text("rule")),
        ],
    },
    Table {
        path: "X_EN_Events.Entry.{}.",
        instances: 256,
        parameters: &[
            ("Time", false, Time),
            ("Level", false, Word(&["Notice", "Warning", "Error"])),
            ("Code", false, Small(1_000)),
            ("Source", false, Word(&["wan", "wifi", "voice", "system"])),
        ],
    },
];

/// Draws numbers that look like chance and are the same each time.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }

    fn value(&mut self, look: Look, instance: u64) -> (&'static str, String) {
        match look {
            Flag => ("boolean", self.below(2).to_string()),
            Word(words) => {
                let place = usize::try_from(self.below(words.len() as u64)).unwrap_or(0);
                ("string", words[place].to_owned())
            }
            Count(digits) => ("unsignedInt", self.below(10_u64.pow(digits)).to_string()),
            Address => ("string", format!("192.168.{}.{}", self.below(4), self.below(254))),
            Mac => {
                let mut part = || self.below(256);
                let (a, b, c) = (part(), part(), part());
                ("string", format!("00:AB:12:{a:02X}:{b:02X}:{c:02X}"))
            }
            Time => {
                let (day, hour, second) = (self.below(28) + 1, self.below(24), self.below(60));
                ("dateTime", format!("2026-10-{day:02}T{hour:02}:07:{second:02}Z"))
            }
            Small(bound) => ("unsignedInt", self.below(bound).to_string()),
            Text("") => ("string", String::new()),
            Text(text) if instance > 0 => ("string", format!("{text}{instance}")),
            Text(text) => ("string", text.to_owned()),
            Secret => ("string", format!("{:016x}", self.below(u64::MAX))),
        }
    }
}

/// What a gateway lists and what it says the values are, in the order in which it walks its tree.
/// `seed` makes another device of the same kind.
pub(super) fn gateway(parameters: usize, seed: u64) -> (Vec<NameEntry>, Vec<Reading>) {
    let mut draw = Draw(seed);
    let (mut names, mut values) = (Vec::new(), Vec::new());
    // Each whole round is the gateway again, as one of several subdevices.
    for round in 1.. {
        for Table { path, instances, parameters: of_one } in &TABLES {
            let start = match round {
                1 => format!("InternetGatewayDevice.{path}"),
                _ => format!("InternetGatewayDevice.X_EN_Subdevice.{round}.{path}"),
            };
            for instance in 1..=*instances {
                let start = start.replace("{}", &instance.to_string());
                names.push(NameEntry { path: start.as_str().into(), writable: *instances > 1 });
                for (name, writable, look) in *of_one {
                    let path: Box<str> = format!("{start}{name}").into();
                    let (xsd_type, value) =
                        draw.value(*look, if *instances > 1 { instance } else { 0 });
                    let value = Redacted(value.into());
                    names.push(NameEntry { path: path.clone(), writable: *writable });
                    values.push(Reading { path, value, xsd_type: xsd_type.into() });
                    if values.len() == parameters {
                        return (names, values);
                    }
                }
            }
        }
    }
    unreachable!("rounds do not end")
}
