//! Tokens, and the sessions in which browsers keep them here.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, header};
use rand::Rng;
use sha2::{Digest, Sha256};

use super::expiring::Expiring;

/// Sessions at once; one more ends the one that would end next.
const SESSIONS: usize = 1_000;
/// A session is over then, whatever its token is still good for.
const LIFETIME: Duration = Duration::from_secs(8 * 3600);
/// `__Host-`: the browser takes it over TLS only (or on the machine itself), and gives it to this host alone.
const COOKIE: &str = "__Host-multiregion";
/// Longer ones are none.
const LONGEST_TOKEN: usize = 16 * 1024;

/// A bearer token. It is never printed: what is told of it is its hash, to the caches.
#[derive(Clone)]
pub(super) struct Token(String);

/// By which a token is known to the caches.
pub(super) type TokenHash = [u8; 32];

impl Token {
    /// What a token may look like at all (RFC 6750).
    pub(super) fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let plausible = !text.is_empty()
            && text.len() <= LONGEST_TOKEN
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        plausible.then(|| Self(text.to_owned()))
    }

    /// The token itself, for the API server.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    pub(super) fn hash(&self) -> TokenHash {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

/// What a request shows.
#[derive(Clone)]
pub(super) enum Credential {
    /// The token itself.
    Bearer(Token),
    /// The id of a session.
    Session(String),
}

impl Credential {
    /// A header goes before a cookie.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            let bearer = scheme.eq_ignore_ascii_case("bearer");
            return bearer
                .then(|| Token::new(token))
                .flatten()
                .map(Self::Bearer);
        }
        session(headers).map(Self::Session)
    }
}

/// The id in the cookie.
fn session(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter();
    cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(name, id)| (name == COOKIE).then(|| id.to_owned()))
}

/// The sessions, in memory only: with the process they are gone.
pub(super) struct Sessions(Mutex<Expiring<String, Token>>);

impl Default for Sessions {
    fn default() -> Self {
        Self(Mutex::new(Expiring::new(SESSIONS, LIFETIME)))
    }
}

impl Sessions {
    /// Begins one; returns the cookie for the browser.
    pub(super) fn begin(&self, token: Token) -> HeaderValue {
        let mut id = [0_u8; 32];
        rand::rng().fill(&mut id);
        let id = hex::encode(id);
        let cookie = cookie(&id, LIFETIME);
        self.all(|sessions| sessions.put(id, token, Instant::now()));
        cookie
    }

    /// Ends the request's; returns the cookie that takes it from the browser.
    pub(super) fn end(&self, headers: &HeaderMap) -> HeaderValue {
        if let Some(id) = session(headers) {
            self.all(|sessions| sessions.remove(&id));
        }
        cookie("", Duration::ZERO)
    }

    /// The token behind a credential.
    pub(super) fn token(&self, credential: &Credential) -> Option<Token> {
        match credential {
            Credential::Bearer(token) => Some(token.clone()),
            Credential::Session(id) => self.all(|sessions| sessions.get(id, Instant::now())),
        }
    }

    fn all<T>(&self, act: impl FnOnce(&mut Expiring<String, Token>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn cookie(id: &str, lifetime: Duration) -> HeaderValue {
    let seconds = lifetime.as_secs();
    let text =
        format!("{COOKIE}={id}; Path=/; Max-Age={seconds}; HttpOnly; Secure; SameSite=Strict");
    HeaderValue::from_str(&text).expect("an id is hexadecimal")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(header::HeaderName, &str)]) -> HeaderMap {
        let pairs = list.iter();
        pairs
            .map(|(name, value)| (name.clone(), value.parse().expect("a header")))
            .collect()
    }

    fn cookie_of(set: &HeaderValue) -> String {
        let set = set.to_str().expect("text");
        set.split(';').next().expect("a pair").to_owned()
    }

    #[test]
    fn a_session_gives_its_token_back_until_it_is_ended() {
        let sessions = Sessions::default();
        let set = sessions.begin(Token::new("secret").expect("a token"));
        let text = set.to_str().expect("text");
        assert!(
            text.ends_with("HttpOnly; Secure; SameSite=Strict"),
            "{text}"
        );
        assert!(!text.contains("secret"), "{text}");
        let headers = headers(&[(header::COOKIE, &format!("a=b; {}", cookie_of(&set)))]);
        let credential = Credential::of(&headers).expect("a session");
        let token = sessions.token(&credential).expect("it is open");
        assert_eq!(token.reveal(), "secret");
        let gone = sessions.end(&headers);
        assert!(gone.to_str().expect("text").contains("Max-Age=0"));
        assert!(sessions.token(&credential).is_none());
    }

    #[test]
    fn an_id_that_nobody_was_given_opens_nothing() {
        let headers = headers(&[(header::COOKIE, "__Host-multiregion=00")]);
        let credential = Credential::of(&headers).expect("a session");
        assert!(Sessions::default().token(&credential).is_none());
    }

    #[test]
    fn only_bearer_tokens_are_read_from_the_header() {
        let of = |value: &str| Credential::of(&headers(&[(header::AUTHORIZATION, value)]));
        assert!(
            matches!(of("Bearer abc"), Some(Credential::Bearer(token)) if token.reveal() == "abc")
        );
        for other in ["Basic abc", "Bearer ", "Bearer", "Bearer a b"] {
            assert!(of(other).is_none(), "{other}");
        }
        assert!(Credential::of(&HeaderMap::new()).is_none());
    }
}
