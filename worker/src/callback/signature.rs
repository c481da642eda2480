//! Signatures of callbacks by [Standard Webhooks 1.0](https://github.com/standard-webhooks/standard-webhooks): asymmetric
//! (`v1a`, Ed25519), which needs no secret that a receiver shares, and symmetric (`v1`, HMAC-SHA256).

use std::fmt;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use chargegate_core::{RequestId, UnixMillis};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};

/// Length of an Ed25519 seed in bytes (RFC 8032 section 5.1.5).
const SEED_LENGTH: usize = 32;
/// Length of an Ed25519 public key in bytes (RFC 8032 section 5.1.5).
const PUBLIC_KEY_LENGTH: usize = 32;
/// Most keys of a set: the current one and the previous one.
const MAX_KEYS: usize = 2;
/// Lengths of a symmetric secret in bytes.
const SECRET_LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// The keys that sign callbacks: the current one, and during the overlap of a rotation the previous one.
///
/// Their text form is a JSON Web Key Set (RFC 7517) with private keys of the type `OKP` (RFC 8037), the current one first.
pub struct CallbackKeys {
    keys: Vec<CallbackKey>,
}

struct CallbackKey {
    pair: Ed25519KeyPair,
    seed: [u8; SEED_LENGTH],
    id: String,
}

/// The reason why keys or secrets are unusable. No variant holds any part of them.
#[derive(Debug, thiserror::Error)]
pub enum CallbackKeyError {
    /// The text is not a set of keys.
    #[error("is not a JSON Web Key Set of private Ed25519 keys")]
    Malformed,
    /// The text is not a set of public keys.
    #[error("is not a JSON Web Key Set of public Ed25519 keys")]
    NotPublic,
    /// The number of keys is wrong.
    #[error("must have one key, or two during a rotation")]
    Count,
    /// The text is not a symmetric secret.
    #[error("must be `whsec_` and the base64 form of 24 to 64 bytes")]
    Secret,
    /// The system provides no randomness.
    #[error("the system provides no random numbers")]
    Random,
}

#[derive(Serialize, Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

#[derive(Serialize, Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    d: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    usage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
}

impl CallbackKeys {
    /// Creates a set of one new key.
    ///
    /// # Errors
    /// [`CallbackKeyError::Random`].
    pub fn generate() -> Result<Self, CallbackKeyError> {
        Ok(Self { keys: vec![CallbackKey::generate()?] })
    }

    /// Returns a set with a new current key. The current key becomes the previous one, unless `drop_previous` is set.
    ///
    /// # Errors
    /// [`CallbackKeyError::Random`].
    pub fn rotate(self, drop_previous: bool) -> Result<Self, CallbackKeyError> {
        let previous = self.keys.into_iter().take(usize::from(!drop_previous));
        Ok(Self { keys: std::iter::once(CallbackKey::generate()?).chain(previous).collect() })
    }

    /// Parses the text form.
    ///
    /// # Errors
    /// [`CallbackKeyError`].
    pub fn parse(text: &str) -> Result<Self, CallbackKeyError> {
        let set: JwkSet = serde_json::from_str(text).map_err(|_| CallbackKeyError::Malformed)?;
        if !(1..=MAX_KEYS).contains(&set.keys.len()) {
            return Err(CallbackKeyError::Count);
        }
        let keys = set.keys.iter().map(CallbackKey::parse).collect::<Option<_>>();
        Ok(Self { keys: keys.ok_or(CallbackKeyError::Malformed)? })
    }

    /// Checks that a text may be published: a JSON Web Key Set of public Ed25519 keys, without their private halves.
    ///
    /// # Errors
    /// [`CallbackKeyError::NotPublic`].
    pub fn check_public(text: &str) -> Result<(), CallbackKeyError> {
        let set: JwkSet = serde_json::from_str(text).map_err(|_| CallbackKeyError::NotPublic)?;
        let is_public = |key: &Jwk| {
            let x = BASE64_URL_SAFE_NO_PAD.decode(&key.x);
            key.kty == "OKP"
                && key.crv == "Ed25519"
                && key.d.is_none()
                && x.is_ok_and(|x| x.len() == PUBLIC_KEY_LENGTH)
        };
        let is_usable = !set.keys.is_empty() && set.keys.iter().all(is_public);
        if is_usable { Ok(()) } else { Err(CallbackKeyError::NotPublic) }
    }

    /// Returns the text form, which contains the private keys.
    #[must_use]
    pub fn private_text(&self) -> String {
        self.text(true)
    }

    /// Returns the public halves as a JSON Web Key Set, which receivers use to verify signatures.
    #[must_use]
    pub fn public_text(&self) -> String {
        self.text(false)
    }

    /// Returns the id of the current key: its thumbprint (RFC 7638).
    #[must_use]
    pub fn current_id(&self) -> &str {
        self.keys.first().map_or("", |key| &key.id)
    }

    /// Returns the entries of `webhook-signature` for an attempt at `timestamp`, in seconds since 1970, separated by spaces.
    #[must_use]
    pub fn signatures(&self, id: &RequestId, timestamp: u64, body: &str) -> String {
        let content = signed_content(id, timestamp, body);
        let entries = self.keys.iter().map(|key| key.sign(&content));
        entries.collect::<Vec<_>>().join(" ")
    }

    #[expect(clippy::expect_used, reason = "texts are always JSON")]
    fn text(&self, is_private: bool) -> String {
        let keys = self.keys.iter().map(|key| key.jwk(is_private)).collect();
        serde_json::to_string(&JwkSet { keys }).expect("a set of keys is JSON")
    }
}

impl fmt::Debug for CallbackKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl CallbackKey {
    fn generate() -> Result<Self, CallbackKeyError> {
        let mut seed = [0; SEED_LENGTH];
        SystemRandom::new().fill(&mut seed).map_err(|_| CallbackKeyError::Random)?;
        Self::new(seed).ok_or(CallbackKeyError::Random)
    }

    fn new(seed: [u8; SEED_LENGTH]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).ok()?;
        // RFC 7638 section 3: the required members in lexicographic order, without spaces.
        let x = BASE64_URL_SAFE_NO_PAD.encode(pair.public_key());
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let id = BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, members.as_bytes()));
        Some(Self { pair, seed, id })
    }

    fn sign(&self, content: &str) -> String {
        format!("v1a,{}", BASE64_STANDARD.encode(self.pair.sign(content.as_bytes())))
    }

    fn parse(jwk: &Jwk) -> Option<Self> {
        let seed = BASE64_URL_SAFE_NO_PAD.decode(jwk.d.as_deref()?).ok()?;
        let key = Self::new(seed.try_into().ok()?)?;
        let is_consistent = jwk.kty == "OKP" && jwk.crv == "Ed25519" && jwk.x == key.jwk(false).x;
        is_consistent.then_some(key)
    }

    fn jwk(&self, is_private: bool) -> Jwk {
        Jwk {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: BASE64_URL_SAFE_NO_PAD.encode(self.pair.public_key()),
            d: is_private.then(|| BASE64_URL_SAFE_NO_PAD.encode(self.seed)),
            kid: Some(self.id.clone()),
            usage: Some("sig".to_owned()),
            alg: Some("EdDSA".to_owned()),
        }
    }
}

/// A secret that the receivers share (`v1`).
#[derive(Clone)]
pub(super) struct CallbackSecret(hmac::Key);

impl CallbackSecret {
    /// Parses `whsec_` and the base64 form of the secret.
    ///
    /// # Errors
    /// [`CallbackKeyError::Secret`].
    pub(super) fn parse(text: &str) -> Result<Self, CallbackKeyError> {
        let secret = text.trim().strip_prefix("whsec_").and_then(|text| BASE64_STANDARD.decode(text).ok());
        let secret = secret.filter(|secret| SECRET_LENGTHS.contains(&secret.len()));
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &secret.ok_or(CallbackKeyError::Secret)?)))
    }
}

impl CallbackSecret {
    fn sign(&self, content: &str) -> String {
        format!("v1,{}", BASE64_STANDARD.encode(hmac::sign(&self.0, content.as_bytes())))
    }
}

impl fmt::Debug for CallbackSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackSecret(..)")
    }
}

fn signed_content(id: &impl fmt::Display, timestamp: u64, body: &str) -> String {
    format!("{id}.{timestamp}.{body}")
}

/// Returns the header lines that sign one attempt; none without keys and secret.
pub(super) fn signature_lines(
    keys: Option<&CallbackKeys>,
    secret: Option<&CallbackSecret>,
    id: &RequestId,
    at: UnixMillis,
    body: &str,
) -> String {
    let mut lines = String::new();
    if keys.is_none() && secret.is_none() {
        return lines;
    }
    let timestamp = at.0 / 1000;
    let by_keys = keys.map(|keys| keys.signatures(id, timestamp, body));
    let by_secret = secret.map(|secret| secret.sign(&signed_content(id, timestamp, body)));
    let signatures: Vec<_> = by_keys.into_iter().chain(by_secret).collect();
    // Writing to a string does not fail.
    let _ =
        write!(lines, "Webhook-Timestamp: {timestamp}\r\nWebhook-Signature: {}\r\n", signatures.join(" "));
    if let Some(keys) = keys {
        let _ = write!(lines, "Chargegate-Key-Id: {}\r\n", keys.current_id());
    }
    lines
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    const BODY: &str = r#"{"station_id":"s","driver_token":"t","status":"allowed"}"#;
    const AT: UnixMillis = UnixMillis(1_614_265_330_999);

    fn id() -> RequestId {
        RequestId::v7(UnixMillis(1), [7; 10])
    }

    fn public_keys(keys: &CallbackKeys) -> Vec<Vec<u8>> {
        let set: JwkSet = serde_json::from_str(&keys.public_text()).unwrap();
        set.keys.iter().map(|key| BASE64_URL_SAFE_NO_PAD.decode(&key.x).unwrap()).collect()
    }

    /// Returns the signatures of a version, in their order.
    fn signatures(lines: &str, version: &str) -> Vec<Vec<u8>> {
        let line = lines.split("\r\n").find_map(|line| line.strip_prefix("Webhook-Signature: ")).unwrap();
        let of_version = line.split(' ').filter_map(|signature| signature.strip_prefix(version));
        of_version.map(|signature| BASE64_STANDARD.decode(signature).unwrap()).collect()
    }

    #[test]
    fn a_thumbprint_is_that_of_rfc_8037() {
        // RFC 8037 appendices A.1 and A.3.
        let text = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let keys = CallbackKeys::parse(text).unwrap();
        assert_eq!(keys.current_id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn keys_are_written_and_read() {
        let keys = CallbackKeys::generate().unwrap();
        let again = CallbackKeys::parse(&keys.private_text()).unwrap();
        assert_eq!(again.current_id(), keys.current_id());
        assert!(!keys.public_text().contains(r#""d""#));
        let debug = format!("{keys:?}");
        assert!(!debug.contains(&BASE64_URL_SAFE_NO_PAD.encode(keys.keys[0].seed)), "{debug}");
    }

    #[test]
    fn unusable_keys_are_refused() {
        let key = CallbackKeys::generate().unwrap().private_text();
        let public = CallbackKeys::generate().unwrap().public_text();
        let foreign = key.replace("\"x\":\"", "\"x\":\"A");
        for text in
            ["", "{}", "[]", &public, &foreign, &key.replace("OKP", "EC"), &key.replace("Ed25519", "X25519")]
        {
            assert!(matches!(CallbackKeys::parse(text), Err(CallbackKeyError::Malformed)), "{text}");
        }
        let jwk = key.strip_prefix(r#"{"keys":["#).unwrap().strip_suffix("]}").unwrap();
        let of = |count: usize| format!(r#"{{"keys":[{}]}}"#, vec![jwk; count].join(","));
        assert!(CallbackKeys::parse(&of(2)).is_ok());
        for count in [0, 3] {
            assert!(matches!(CallbackKeys::parse(&of(count)), Err(CallbackKeyError::Count)), "{count}");
        }
    }

    #[test]
    fn only_public_keys_may_be_published() {
        let keys = CallbackKeys::generate().unwrap().rotate(false).unwrap();
        assert!(CallbackKeys::check_public(&keys.public_text()).is_ok());
        let public = keys.public_text();
        for text in [
            "",
            "{}",
            r#"{"keys":[]}"#,
            &keys.private_text(),
            &public.replace("OKP", "RSA"),
            &public.replace("Ed25519", "X25519"),
            &public.replacen("\"x\":\"", "\"x\":\"AAAA", 1),
        ] {
            assert!(CallbackKeys::check_public(text).is_err(), "{text}");
        }
    }

    #[test]
    fn both_keys_of_a_rotation_sign() {
        let before = CallbackKeys::generate().unwrap();
        let [old] = public_keys(&before).try_into().unwrap();
        let keys = before.rotate(false).unwrap();
        assert_eq!(public_keys(&keys)[1], old);
        let lines = signature_lines(Some(&keys), None, &id(), AT, BODY);
        let content = format!("{}.1614265330.{BODY}", id());
        for (public, signature) in public_keys(&keys).iter().zip(signatures(&lines, "v1a,")) {
            UnparsedPublicKey::new(&ED25519, public).verify(content.as_bytes(), &signature).unwrap();
        }
        assert!(lines.contains(&format!("Chargegate-Key-Id: {}\r\n", keys.current_id())));
        assert!(lines.contains("Webhook-Timestamp: 1614265330\r\n"));
        // A further rotation drops the oldest key.
        let keys = keys.rotate(false).unwrap();
        assert!(!public_keys(&keys).contains(&old));
        assert_eq!(public_keys(&keys.rotate(true).unwrap()).len(), 1);
    }

    #[test]
    fn a_secret_signs_like_the_reference_implementation() {
        let secret = CallbackSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        // The vector in the tests of the reference libraries of Standard Webhooks.
        let content =
            signed_content(&"msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(secret.sign(&content), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let lines = signature_lines(None, Some(&secret), &id(), AT, BODY);
        let key = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let content = format!("{}.1614265330.{BODY}", id());
        hmac::verify(&key, content.as_bytes(), &signatures(&lines, "v1,")[0]).unwrap();
        assert!(!lines.contains("Key-Id"));
        for text in ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_c2hvcnQ=", "whsec_!"] {
            assert!(CallbackSecret::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_is_signed_without_keys() {
        assert_eq!(signature_lines(None, None, &id(), AT, BODY), "");
    }
}
