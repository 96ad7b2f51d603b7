//! `[gateway]` and `[scheduler]`: where the services answer, and what clients may do there.

use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;
use super::limits::HttpLimits;
use super::section::Section;
use crate::secret::Secret;

/// `[gateway]`, or `[scheduler]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServiceSettings {
    /// `address`: `host:port`, `:port` or `unix:PATH`. None: it listens only when an HTTP source needs it to, at
    /// [`GATEWAY_ADDRESS`].
    pub address: Option<Address>,
    /// `tls = { certificate, key }`.
    pub tls: Option<TlsFiles>,
    /// `limits`.
    pub limits: HttpLimits,
}

/// `[scheduler]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchedulerSettings {
    /// What both services have.
    pub service: ServiceSettings,
    /// `token`: what whoever gives orders over TCP has to say in `Authorization: Bearer`. At least 16 bytes. None: orders
    /// are taken only from this machine.
    pub token: Option<Secret>,
}

/// Bytes of a token, at least: fewer are guessed.
const TOKEN_BYTES_MIN: usize = 16;

/// Where a gateway with HTTP triggers listens when nothing is said: this machine alone can reach it.
pub const GATEWAY_ADDRESS: &str = "127.0.0.1:9090";

/// Where a server's certificate is. Read once, at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, then those that vouch for it, in PEM.
    pub certificate: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

/// `[gateway]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySettings {
    /// What both services have.
    pub service: ServiceSettings,
    /// `room_timeout`: how long a request waits for room in the store before it is answered 503. Default: 5 s.
    pub room_timeout: Duration,
    /// `idempotency = { window, keys }`.
    pub keeping: Keeping,
}

impl Default for GatewaySettings {
    fn default() -> Self {
        GatewaySettings {
            service: ServiceSettings::default(),
            room_timeout: Duration::from_secs(5),
            keeping: Keeping::default(),
        }
    }
}

/// How long idempotency keys are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// `window`: after this a key may be used anew. Default: 24 h.
    pub window: Duration,
    /// `keys`: of one source, at most; the oldest are forgotten first. 1 to 1,000,000. Default: 100,000.
    pub keys_max: usize,
}

impl Default for Keeping {
    fn default() -> Self {
        Keeping {
            window: Duration::from_secs(86_400),
            keys_max: 100_000,
        }
    }
}

impl ServiceSettings {
    fn read(section: &mut Section) -> Self {
        let address = section.take_str("address").optional();
        let address = address.and_then(|text| match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                section.report(
                    "address",
                    "not an address",
                    "write host:port, :port or unix:PATH",
                );
                None
            }
        });
        ServiceSettings {
            address,
            tls: section
                .has("tls")
                .then(|| read_tls(section.take_section("tls")))
                .flatten(),
            limits: HttpLimits::read(section.take_section("limits")),
        }
    }
}

impl SchedulerSettings {
    pub(super) fn read(mut section: Section) -> Self {
        let token = section.take_secret("token").checked(
            |token| token.expose().len() >= TOKEN_BYTES_MIN,
            "too short to keep anybody out",
            "at least 16 characters, as `openssl rand -hex 32` makes them",
        );
        let token = token.optional();
        let settings = SchedulerSettings {
            service: ServiceSettings::read(&mut section),
            token,
        };
        section.finish();
        settings
    }
}

impl GatewaySettings {
    pub(super) fn read(mut section: Section) -> Self {
        let mut idempotency = section.take_section("idempotency");
        let default = GatewaySettings::default();
        let settings = GatewaySettings {
            service: ServiceSettings::read(&mut section),
            room_timeout: section
                .take_duration("room_timeout")
                .or(default.room_timeout),
            keeping: Keeping {
                window: idempotency
                    .take_duration("window")
                    .or(default.keeping.window),
                keys_max: (idempotency.take_u64("keys").within(1, 1_000_000).optional())
                    .and_then(|keys| usize::try_from(keys).ok())
                    .unwrap_or(default.keeping.keys_max),
            },
        };
        idempotency.finish();
        section.finish();
        settings
    }
}

fn read_tls(mut section: Section) -> Option<TlsFiles> {
    let certificate = section.take_str("certificate").required();
    let key = section.take_str("key").required();
    section.finish();
    Some(TlsFiles {
        certificate: certificate?.into(),
        key: key?.into(),
    })
}
