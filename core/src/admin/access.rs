//! Who may give orders.
//!
//! Whoever comes over a Unix socket may: its file belongs to the process's own user (mode 0600). Over TCP a token is asked
//! for, when one is set. Without one only this machine is let in, and only as itself: a request with the `Host` of
//! somebody else was sent by a web page, or passed on by a proxy that everybody can reach.

use std::net::{IpAddr, SocketAddr};

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, Request, Response};
use axum::middleware::Next;
use ring::digest::{SHA256, digest};

use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::secret::Secret;
use crate::server::{Peer, fault};

/// Who may give orders.
#[derive(Debug, Clone, Default)]
pub struct Access {
    token: Option<Secret>,
}

impl Access {
    /// Lets in whoever says `token`; without one, this machine alone.
    #[must_use]
    pub fn new(token: Option<Secret>) -> Access {
        Access { token }
    }

    /// Passes a request on, or answers that its sender is not let in.
    pub(super) async fn admit(self, request: Request<Body>, next: Next) -> Response<Body> {
        let peer = request.extensions().get::<Peer>().copied();
        match self.judge(peer, request.headers()) {
            Ok(()) => next.run(request).await,
            Err(error) => fault(&Fault::of(&error)),
        }
    }

    fn judge(&self, peer: Option<Peer>, headers: &HeaderMap) -> Result<()> {
        let peer = match peer {
            Some(Peer(None)) => return Ok(()),
            Some(Peer(Some(peer))) => Some(peer),
            None => None,
        };
        match &self.token {
            Some(token) if says(headers, token) => Ok(()),
            Some(_) => {
                Err(Error::refused("the Authorization header is missing or wrong").status(401))
            }
            None if is_here(peer, headers) => Ok(()),
            None => Err(Error::refused("orders are taken from this machine only")
                .help("set token under [scheduler], and send it as Authorization: Bearer …")),
        }
    }
}

/// Whether the token is said. Digests are compared, each byte of them: the time it takes tells nothing of what was right.
fn says(headers: &HeaderMap, token: &Secret) -> bool {
    let given = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
    let expected = format!("Bearer {}", token.expose());
    let given = digest(&SHA256, given.unwrap_or_default());
    let expected = digest(&SHA256, expected.as_bytes());
    let pairs = given.as_ref().iter().zip(expected.as_ref());
    pairs.fold(0, |different, (own, other)| different | (own ^ other)) == 0
}

fn is_here(peer: Option<SocketAddr>, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback()) && host.is_some_and(is_own_name)
}

/// Whether a `Host` is a name of this machine that nobody else can have.
fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let address = address.parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|own| own.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(token: Option<&str>, peer: Option<&str>, headers: &[(&str, &str)]) -> Option<u16> {
        let peer = Some(Peer(peer.map(|peer| peer.parse().unwrap())));
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = axum::http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.insert(name, value.parse().unwrap());
        }
        let access = Access::new(token.map(Secret::new));
        let refused = access.judge(peer, &map).err();
        refused.map(|error| Fault::of(&error).status_code)
    }

    /// ADM-08
    #[test]
    fn without_a_token_this_machine_alone_is_let_in_and_only_as_itself() {
        let here = Some("127.0.0.1:5000");
        for host in [
            "localhost:9091",
            "127.0.0.1:9091",
            "[::1]:9091",
            "LOCALHOST",
        ] {
            assert_eq!(judge(None, here, &[("host", host)]), None, "{host}");
        }
        for host in [
            "blacksmith.example",
            "localhost.example:9091",
            "10.0.0.1:9091",
            "",
        ] {
            assert_eq!(judge(None, here, &[("host", host)]), Some(403), "{host}");
        }
        let local = [("host", "localhost")];
        assert_eq!(judge(None, Some("[::ffff:127.0.0.1]:5"), &local), None);
        assert_eq!(judge(None, Some("10.0.0.7:5000"), &local), Some(403));
        assert_eq!(judge(None, here, &[]), Some(403));
    }

    /// ADM-08
    #[test]
    fn with_a_token_everybody_has_to_say_it_but_whoever_uses_the_socket() {
        let token = Some("an example of a token");
        let here = Some("127.0.0.1:5000");
        let says = |text: &str| judge(token, here, &[("host", "x"), ("authorization", text)]);
        assert_eq!(says("Bearer an example of a token"), None);
        for wrong in [
            "Bearer an example of a toke",
            "an example of a token",
            "Basic eDp5",
            "",
        ] {
            assert_eq!(says(wrong), Some(401), "{wrong}");
        }
        assert_eq!(judge(token, here, &[("host", "localhost")]), Some(401));
        assert_eq!(judge(token, None, &[]), None);
    }
}
