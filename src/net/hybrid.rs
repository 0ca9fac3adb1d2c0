//! X25519MLKEM768: a key exchange that holds as long as one of its halves does,
//! X25519 by ring or ML-KEM-768 (FIPS 203), which a quantum computer does not break
//! (draft-ietf-tls-ecdhe-mlkem). The client's side of it.

use ml_kem::kem::{Decapsulate as _, KeyExport as _};
use ml_kem::ml_kem_768::DecapsulationKey;
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::crypto::ring::kx_group::X25519;
use rustls::crypto::{ActiveKeyExchange, CompletedKeyExchange, GetRandomFailed, SharedSecret, SupportedKxGroup};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::{Error, NamedGroup, PeerMisbehaved, ProtocolVersion};
use std::fmt;
use zeroize::Zeroize as _;

/// The length of what a server answers for ML-KEM-768.
const CIPHERTEXT: usize = 1088;

/// The group; it goes first among a provider's, and X25519 among the others.
#[derive(Debug)]
pub(super) struct X25519MlKem768;

impl SupportedKxGroup for X25519MlKem768 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let classical = X25519.start()?;
        let mut seed = ml_kem::Seed::default();
        SystemRandom::new().fill(&mut seed).map_err(|_| Error::from(GetRandomFailed))?;
        let post_quantum = DecapsulationKey::from_seed(seed);
        seed.as_mut_slice().zeroize();
        let mut share = post_quantum.encapsulation_key().to_bytes().to_vec();
        share.extend_from_slice(classical.pub_key());
        Ok(Box::new(Started { classical, post_quantum, share }))
    }

    /// A server's part, which this library never plays.
    fn start_and_complete(&self, _peer: &[u8]) -> Result<CompletedKeyExchange, Error> {
        Err(Error::General("X25519MLKEM768 is here for clients only".to_owned()))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_3
    }
}

struct Started {
    classical: Box<dyn ActiveKeyExchange>,
    /// Wipes itself.
    post_quantum: DecapsulationKey,
    share: Vec<u8>,
}

impl ActiveKeyExchange for Started {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let invalid = || Error::from(PeerMisbehaved::InvalidKeyShare);
        let (ciphertext, key) = peer.split_at_checked(CIPHERTEXT).ok_or_else(invalid)?;
        // Of a wrong length it is refused by the group.
        let classical = self.classical.complete(key)?;
        let mut post_quantum = self.post_quantum.decapsulate_slice(ciphertext).map_err(|_| invalid())?;
        // Room for all is made first, so that no copy is left behind.
        let mut secret = Vec::with_capacity(post_quantum.len() + classical.secret_bytes().len());
        secret.extend_from_slice(&post_quantum);
        secret.extend_from_slice(classical.secret_bytes());
        post_quantum.as_mut_slice().zeroize();
        Ok(SharedSecret::from(secret))
    }

    fn hybrid_component(&self) -> Option<(NamedGroup, &[u8])> {
        Some((self.classical.group(), self.classical.pub_key()))
    }

    fn complete_hybrid_component(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        self.classical.complete(peer)
    }

    fn pub_key(&self) -> &[u8] {
        &self.share
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519MLKEM768
    }
}

impl fmt::Debug for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Started")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ml_kem::kem::Encapsulate as _;
    use ml_kem::{MlKem768, kem::Kem};

    #[test]
    fn both_halves_are_in_the_secret() {
        let client = X25519MlKem768.start().expect("random numbers");
        let share = client.pub_key().to_vec();
        assert_eq!((share.len(), client.hybrid_component().map(|(group, _)| group)), (1216, Some(NamedGroup::X25519)));
        let (key, classical) = share.split_at(1184);
        let key = <MlKem768 as Kem>::EncapsulationKey::new(key.try_into().expect("its length")).expect("valid");
        let (ciphertext, post_quantum) = key.encapsulate();
        let server = X25519.start_and_complete(classical).expect("a key");
        let answer = [ciphertext.as_slice(), &server.pub_key].concat();
        let secret = client.complete(&answer).expect("as it should be");
        assert_eq!(secret.secret_bytes(), [post_quantum.as_slice(), server.secret.secret_bytes()].concat());
    }

    #[test]
    fn answers_of_a_wrong_length() {
        for length in [0, 32, 1087, 1088, 1119, 1121, 1216] {
            let client = X25519MlKem768.start().expect("random numbers");
            assert!(client.complete(&vec![9; length]).is_err(), "{length}");
        }
        // An answer of the right length that fits nothing gives a secret nobody else has (FIPS 203 section 6.3).
        let client = X25519MlKem768.start().expect("random numbers");
        assert!(client.complete(&[9; 1120]).is_ok());
    }
}
