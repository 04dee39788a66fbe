//! Refusals and what they mean.

/// A SOAP fault with CWMP's detail (TR-069 3.5.4, A.5).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fault {
    /// 9000 and up from a device, 8000 and up from us; 0 where the device gave none.
    pub code: u16,
    /// The sender's own words. May repeat a value: not for a log.
    pub text: Box<str>,
    /// Of a SetParameterValues: each parameter's own fault (A.3.2.1).
    pub parameters: Vec<ParameterFault>,
}

impl Fault {
    /// SOAP's own text of every CWMP fault (3.5): it says nothing.
    pub(crate) const SOAP_TEXT: &str = "CWMP fault";

    /// A refusal of ours with A.5.2's text for `code`.
    #[must_use]
    pub fn ours(code: u16) -> Self {
        Self { code, text: fault_words(code).into(), parameters: Vec::new() }
    }

    /// Whose mistake it was, for SOAP's faultcode (A.5.1, A.5.2).
    pub(crate) const fn soap_code(&self) -> &'static str {
        match self.code {
            8003 | 9003 | 9005..=9008 => "Client",
            _ => "Server",
        }
    }
}

/// Why one parameter was not set.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParameterFault {
    /// Full path.
    pub name: Box<str>,
    /// As in [`Fault::code`].
    pub code: u16,
    /// The device's own words.
    pub text: Box<str>,
}

/// What a fault code means, in plain words (A.5.1, A.5.2).
#[must_use]
pub const fn fault_words(code: u16) -> &'static str {
    match code {
        0 => "no code given",
        8000 | 9000 => "method not supported",
        8001 | 9001 => "request denied",
        8002 | 9002 => "internal error",
        8003 | 9003 => "invalid arguments",
        8004 | 9004 => "resources exceeded",
        8005 => "retry request",
        8006 => "version incompatible with the session",
        9005 => "invalid parameter name",
        9006 => "invalid parameter type",
        9007 => "invalid parameter value",
        9008 => "parameter is not writable",
        9009 => "notification request rejected",
        9010 => "file transfer failed",
        9011 => "upload failed",
        9012 => "file transfer server refused the credentials",
        9013 => "protocol of the file transfer not supported",
        9014 => "could not join the multicast group",
        9015 => "could not reach the file server",
        9016 => "could not access the file",
        9017 => "could not complete the download",
        9018 => "file is corrupted or unusable",
        9019 => "file could not be authenticated",
        9020 => "file was not complete within the time windows",
        9021 => "transfer can not be cancelled in its present state",
        9022 => "invalid UUID",
        9023 => "unknown execution environment",
        9024 => "disabled execution environment",
        9025 => "deployment unit does not fit the execution environment",
        9026 => "duplicate deployment unit",
        9027 => "system resources exceeded",
        9028 => "unknown deployment unit",
        9029 => "invalid deployment unit state",
        9030 => "invalid deployment unit update: downgrade not permitted",
        9031 => "invalid deployment unit update: version not specified",
        9032 => "invalid deployment unit update: version already exists",
        9800..=9899 => "vendor-defined fault",
        _ => "unknown fault",
    }
}
