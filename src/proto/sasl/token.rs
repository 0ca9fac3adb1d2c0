//! What an OAuth token and a server's refusal of it say, read here so that an error can
//! tell which of them does not fit. Nothing is verified, and nothing depends on it.

use super::{Credentials, Mechanism, readable};
use crate::proto::secret::Secret;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::Engine as _;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// The servers of Microsoft, whose tokens have to be for one service and one scope.
const MICROSOFT: [&str; 3] = ["office365.com", "outlook.com", "office.com"];

/// How Exchange Online is called in a token besides by its address.
const EXCHANGE_ONLINE: &str = "00000002-0000-0ff1-ce00-000000000000";

/// Why a token was refused (RFC 7628 section 3.2.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Refusal {
    /// For a sentence.
    text: String,
    status: String,
    scope: String,
}

impl Refusal {
    /// Reads the server's JSON, or takes the words for what they are.
    fn parse(challenge: &[u8]) -> Self {
        let Ok(Value::Object(members)) = serde_json::from_slice(challenge) else {
            return Self { text: readable(challenge), ..Self::default() };
        };
        let mut known = Vec::new();
        for (name, label) in [
            ("status", "status"),
            ("error", "error"),
            ("error_description", "description"),
            ("schemes", "schemes"),
            ("scope", "scope"),
            ("openid-configuration", "provider"),
        ] {
            let value = text(&members, name);
            if !value.is_empty() {
                known.push(format!("{label} {value}"));
            }
        }
        let text_of = |name| text(&members, name);
        let text = if known.is_empty() { readable(challenge) } else { readable(known.join(", ").as_bytes()) };
        Self { text, status: text_of("status"), scope: text_of("scope") }
    }

    /// Whether another token of the same kind could help.
    fn asks_for_another(&self) -> bool {
        !matches!(self.status.as_str(), "insufficient_scope" | "403")
    }
}

/// A login with a token: one message, and if it is refused, an answer to the
/// challenge that says why.
#[derive(Debug)]
pub struct TokenLogin {
    mechanism: Mechanism,
    credentials: Credentials,
    message: fn(&Credentials) -> Secret,
    acknowledgement: &'static str,
    sent: bool,
    refusal: Option<Refusal>,
}

impl TokenLogin {
    /// Begins a login whose mechanism makes the message so, and answers a refusal so.
    pub(super) fn new(
        mechanism: Mechanism,
        credentials: Credentials,
        message: fn(&Credentials) -> Secret,
        acknowledgement: &'static str,
    ) -> Self {
        Self { mechanism, credentials, message, acknowledgement, sent: false, refusal: None }
    }

    /// Which mechanism it is.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The one message.
    #[must_use]
    pub fn message(&mut self) -> Secret {
        self.sent = true;
        (self.message)(&self.credentials)
    }

    /// Answers the empty challenge of a server that got no initial response, and the
    /// one that says why the token is refused.
    #[must_use]
    pub fn step(&mut self, challenge: &[u8]) -> Option<Secret> {
        if !self.sent && challenge.is_empty() {
            return Some(self.message());
        }
        if !self.sent || self.refusal.is_some() {
            return None;
        }
        self.refusal = Some(Refusal::parse(challenge));
        Some(Secret::new(self.acknowledgement))
    }

    /// Why the token was refused, in the server's words.
    #[must_use]
    pub fn complaint(&self) -> Option<&str> {
        self.refusal.as_ref().map(|refusal| refusal.text.as_str()).filter(|text| !text.is_empty())
    }

    /// Whether another token of the same kind could help.
    #[must_use]
    pub fn asks_for_another(&self) -> bool {
        self.refusal.as_ref().is_none_or(Refusal::asks_for_another)
    }

    /// What to do about a refusal.
    #[must_use]
    pub fn remedy(&self) -> String {
        remedy(&self.credentials, self.refusal.as_ref().unwrap_or(&Refusal::default()))
    }
}

/// What to do about a refused token, from what is in it.
fn remedy(credentials: &Credentials, refusal: &Refusal) -> String {
    const CHECK: &str = "Check the user name, and that the token is for this server and has not expired.";
    let Some(claims) = claims(credentials.token.expose()) else {
        return if refusal.asks_for_another() {
            CHECK.to_owned()
        } else {
            format!("The token does not allow sending mail: get one with the scope {}.", or(&refusal.scope, "for that"))
        };
    };
    let mut found = Vec::new();
    found.extend(time_objection(&claims, credentials.time));
    found.extend(user_objection(&claims, &credentials.user));
    found.extend(audience_objection(&claims, &credentials.host));
    found.extend(scope_objection(&claims, &refusal.scope, &credentials.host));
    if found.is_empty() {
        return match list(&claims, "aud").join(", ").as_str() {
            "" => CHECK.to_owned(),
            audience => format!("{CHECK} It is for {}.", shown(audience)),
        };
    }
    format!("Get another token: {}.", found.join("; "))
}

/// The claims of a token, if it is one that can be read (JWT, RFC 7519).
fn claims(token: &[u8]) -> Option<Map<String, Value>> {
    /// More than fits into a line of a login.
    const MOST: usize = 16_384;
    let mut parts = token.split(|octet| *octet == b'.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || payload.len() > MOST {
        return None;
    }
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decoded = Zeroizing::new(GeneralPurpose::new(&URL_SAFE, config).decode(payload).ok()?);
    match serde_json::from_slice(&decoded).ok()? {
        Value::Object(claims) => Some(claims),
        _ => None,
    }
}

fn time_objection(claims: &Map<String, Value>, now: u64) -> Option<String> {
    /// How far clocks may be apart.
    const SLACK: u64 = 60;
    let seconds = |name: &str| {
        claims.get(name).and_then(|value| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            value.as_u64().or_else(|| value.as_f64().map(|seconds| seconds as u64))
        })
    };
    if let Some(end) = seconds("exp").filter(|end| *end <= now) {
        return Some(format!("this one expired {} ago", span(now - end)));
    }
    let begin = seconds("nbf").filter(|begin| *begin > now.saturating_add(SLACK))?;
    Some(format!("this one is valid only in {}, by this machine's clock", span(begin - now)))
}

fn span(seconds: u64) -> String {
    let (number, unit) = match seconds {
        0..=119 => (seconds, "seconds"),
        120..=7199 => (seconds / 60, "minutes"),
        7200..=172_799 => (seconds / 3600, "hours"),
        _ => (seconds / 86_400, "days"),
    };
    format!("{number} {unit}")
}

fn user_objection(claims: &Map<String, Value>, user: &str) -> Option<String> {
    let names: Vec<String> = ["preferred_username", "upn", "email", "unique_name", "username"]
        .into_iter()
        .map(|name| text(claims, name))
        .filter(|name| !name.is_empty())
        .collect();
    let names = if names.is_empty() {
        Some(text(claims, "sub")).filter(|sub| sub.contains('@')).into_iter().collect()
    } else {
        names
    };
    let local = |name: &str| name.split('@').next().unwrap_or_default().to_lowercase();
    let is_same = |name: &String| {
        name.to_lowercase() == user.to_lowercase()
            // One of the two may be without its domain.
            || (name.contains('@') != user.contains('@') && local(name) == local(user))
    };
    if user.is_empty() || names.is_empty() || names.iter().any(is_same) {
        return None;
    }
    Some(format!("this one is for the user {}, and the login was for {}", shown(&names[0]), shown(user)))
}

fn audience_objection(claims: &Map<String, Value>, host: &str) -> Option<String> {
    let audience = list(claims, "aud");
    let fits = |name: &String| name.contains("outlook.office") || name.contains(EXCHANGE_ONLINE);
    if audience.is_empty() || !is_microsoft(host) || audience.iter().any(fits) {
        return None;
    }
    Some(format!("this one is for {}, and has to be for https://outlook.office.com", shown(&audience.join(", "))))
}

fn scope_objection(claims: &Map<String, Value>, asked: &str, host: &str) -> Option<String> {
    let mut given = list(claims, "scp");
    given.extend(list(claims, "scope"));
    given.extend(list(claims, "roles"));
    let last = |scope: &str| scope.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_lowercase();
    let has = |wanted: &str| given.iter().any(|scope| last(scope) == last(wanted));
    let wanted = if !asked.is_empty() {
        asked.split(' ').find(|one| !one.is_empty() && !has(one))?
    } else if is_microsoft(host) && !has("SMTP.Send") && !has("SMTP.SendAsApp") {
        "https://outlook.office.com/SMTP.Send"
    } else {
        return None;
    };
    if given.is_empty() {
        return None;
    }
    Some(format!("this one has the scope {}, and needs {}", shown(&given.join(" ")), shown(wanted)))
}

fn is_microsoft(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    MICROSOFT.iter().any(|domain| host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// A member as text; empty if it is none.
fn text(members: &Map<String, Value>, name: &str) -> String {
    match members.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// A member that is a text with blanks or a list of texts.
fn list(members: &Map<String, Value>, name: &str) -> Vec<String> {
    match members.get(name) {
        Some(Value::String(text)) => text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn shown(text: &str) -> String {
    readable(text.chars().take(120).collect::<String>().as_bytes())
}

fn or<'a>(text: &'a str, other: &'a str) -> &'a str {
    if text.is_empty() { other } else { text }
}

#[cfg(test)]
mod tests {
    use super::super::super::secret::Secret;
    use super::*;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    const NOW: u64 = 1_800_000_000;

    fn told(claims: &str, user: &str, host: &str, challenge: &str) -> String {
        let token = format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims));
        told_of(&token, user, host, challenge)
    }

    fn told_of(token: &str, user: &str, host: &str, challenge: &str) -> String {
        let credentials = Credentials {
            user: user.into(),
            token: Secret::new(token),
            host: host.into(),
            time: NOW,
            ..Credentials::default()
        };
        remedy(&credentials, &Refusal::parse(challenge.as_bytes()))
    }

    #[test]
    fn what_the_server_says() {
        let parsed =
            Refusal::parse(br#"{"status":"invalid_token","scope":"example_scope","schemes":"Bearer","x":[{}]}"#);
        assert_eq!(parsed.text, "status invalid_token, schemes Bearer, scope example_scope");
        assert!(parsed.asks_for_another());
        assert!(!Refusal::parse(br#"{"status":"insufficient_scope"}"#).asks_for_another());
        assert_eq!(Refusal::parse(br#"{"status":401}"#).text, "status 401");
        for words in ["", "no\r\n", "{\"status\":", "[1]", "{}"] {
            assert_eq!(Refusal::parse(words.as_bytes()).text, words.trim(), "as it is");
        }
        let deep = "[".repeat(50_000);
        assert_eq!(Refusal::parse(deep.as_bytes()).text.len(), 400);
        assert!(!Refusal::parse(b"{\"status\":\"a\\nb\"}").text.contains('\n'));
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let mine = "me@example.com";
        let expired = format!("{{\"exp\":{}}}", NOW - 600);
        assert!(told(&expired, mine, "", "").contains("expired 10 minutes ago"), "{}", told(&expired, mine, "", ""));
        let early = format!("{{\"nbf\":{}.5,\"exp\":{}}}", NOW + 7200, NOW + 9000);
        assert!(told(&early, mine, "", "").contains("valid only in 2 hours"));
        let other = r#"{"preferred_username":"you@example.com"}"#;
        assert!(told(other, mine, "", "").contains("for the user you@example.com, and the login was for me@"));
        assert!(told(r#"{"sub":"you@example.com"}"#, mine, "", "").contains("for the user you@"));
        let scope =
            told(r#"{"scope":"openid profile"}"#, mine, "", r#"{"status":"insufficient_scope","scope":"mail"}"#);
        assert!(scope.contains("has the scope openid profile, and needs mail"), "{scope}");
        let graph = r#"{"aud":"https://graph.microsoft.com","scp":"Mail.Send","upn":"me@example.com"}"#;
        let found = told(graph, mine, "smtp.office365.com", "");
        assert!(found.contains("is for https://graph.microsoft.com, and has to be for https://outlook.office.com"));
        assert!(found.contains("has the scope Mail.Send, and needs https://outlook.office.com/SMTP.Send"), "{found}");
    }

    #[test]
    fn what_fits_is_not_blamed() {
        let good = format!(
            "{{\"exp\":{},\"aud\":[\"https://outlook.office.com\"],\"scp\":\"SMTP.Send\",\"upn\":\"Me@Example.com\"}}",
            NOW + 100
        );
        let asked = r#"{"status":"401","scope":"https://outlook.office.com/SMTP.Send"}"#;
        let found = told(&good, "me@example.com", "smtp.office365.com", asked);
        assert!(found.starts_with("Check") && found.ends_with("It is for https://outlook.office.com."), "{found}");
        assert!(told("{\"email\":\"me@example.com\"}", "me", "", "").starts_with("Check"));
        assert!(told("{\"sub\":\"248289761001\"}", "me", "", "").starts_with("Check"), "a number is no name");
        assert!(told("{\"aud\":\"x\"}", "me", "notoffice365.com", "").ends_with("It is for x."));
    }

    #[test]
    fn tokens_that_cannot_be_read() {
        for token in ["", "opaque", "a.b", "a.b.c", "a.b.c.d", "e30.W10.x", "e30.!!.x"] {
            assert!(told_of(token, "me", "", "").starts_with("Check"), "{token}");
        }
        assert!(
            told_of("opaque", "me", "", r#"{"status":"insufficient_scope","scope":"mail"}"#).contains("scope mail")
        );
        let padded = format!("e30.{}.x", base64::prelude::BASE64_URL_SAFE.encode("{\"exp\":1}"));
        assert!(told_of(&padded, "me", "", "").contains("expired"));
    }
}
