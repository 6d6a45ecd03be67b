//! Clients: which keys are admitted, which are connected, and their decoded keys.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use byzantine_crypto::PublicKey;
use byzantine_transport::ClientId;

/// Decoded keys that are kept. Decoding one costs as much as two verifications; with more than so
/// many clients at once the oldest knowledge is worth nothing, so all of it goes.
const KEYS_MAX: usize = 4096;

/// See the module documentation.
#[derive(Debug)]
pub struct Clients {
    /// None: every strong key.
    admitted: Option<HashSet<[u8; 32]>>,
    key_of: HashMap<ClientId, [u8; 32]>,
    connections: HashMap<[u8; 32], Vec<ClientId>>,
    decoded: HashMap<[u8; 32], Arc<PublicKey>>,
}

impl Clients {
    /// Admits these keys and the members', or every strong key.
    pub fn new(admitted: Option<HashSet<[u8; 32]>>, members: &[PublicKey]) -> Self {
        let admitted = admitted.map(|mut keys| {
            keys.extend(members.iter().map(|member| *member.as_bytes()));
            keys
        });
        Self {
            admitted,
            key_of: HashMap::new(),
            connections: HashMap::new(),
            decoded: HashMap::new(),
        }
    }

    /// A connection came up.
    pub fn up(&mut self, client: ClientId, key: [u8; 32]) {
        self.key_of.insert(client, key);
        self.connections.entry(key).or_default().push(client);
    }

    /// A connection ended.
    pub fn down(&mut self, client: ClientId) {
        let Some(key) = self.key_of.remove(&client) else {
            return;
        };
        if let Some(connections) = self.connections.get_mut(&key) {
            connections.retain(|other| *other != client);
            if connections.is_empty() {
                self.connections.remove(&key);
            }
        }
    }

    /// The key that a connection proved.
    pub fn key_of(&self, client: ClientId) -> Option<&[u8; 32]> {
        self.key_of.get(&client)
    }

    /// The connections of a key.
    pub fn connections_of(&self, key: &[u8; 32]) -> &[ClientId] {
        self.connections.get(key).map_or(&[], Vec::as_slice)
    }

    /// The decoded key of an admitted client; none where it is not admitted or not strong.
    pub fn admit(&mut self, key: &[u8; 32]) -> Option<Arc<PublicKey>> {
        if self
            .admitted
            .as_ref()
            .is_some_and(|admitted| !admitted.contains(key))
        {
            return None;
        }
        if let Some(decoded) = self.decoded.get(key) {
            return Some(Arc::clone(decoded));
        }
        let decoded = Arc::new(PublicKey::from_bytes(key).ok()?);
        if self.decoded.len() >= KEYS_MAX {
            self.decoded.clear();
        }
        self.decoded.insert(*key, Arc::clone(&decoded));
        Some(decoded)
    }

    /// Connections that are up.
    pub fn connected(&self) -> usize {
        self.key_of.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use byzantine_crypto::SecretKey;

    #[test]
    fn listed_keys_and_members_are_admitted_and_weak_keys_never() {
        let key = |seed| SecretKey::from_raw([seed; 32]).public();
        let members = [key(1)];
        let mut listed = Clients::new(Some(HashSet::from([*key(2).as_bytes()])), &members);
        assert!(listed.admit(key(1).as_bytes()).is_some());
        assert!(listed.admit(key(2).as_bytes()).is_some());
        assert!(listed.admit(key(3).as_bytes()).is_none());
        let mut any = Clients::new(None, &members);
        assert!(any.admit(key(3).as_bytes()).is_some());
        assert!(any.admit(&[0; 32]).is_none());
    }

    #[test]
    fn a_key_keeps_all_its_connections_until_each_ends() {
        let mut clients = Clients::new(None, &[]);
        clients.up(1, [1; 32]);
        clients.up(2, [1; 32]);
        assert_eq!(clients.connections_of(&[1; 32]), [1, 2]);
        clients.down(1);
        assert_eq!(clients.connections_of(&[1; 32]), [2]);
        clients.down(2);
        clients.down(2);
        assert_eq!(clients.connections_of(&[1; 32]), []);
        assert_eq!((clients.connected(), clients.key_of(2)), (0, None));
    }
}
