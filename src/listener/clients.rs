//! How many connections each client has, so that one alone can't have them all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections by address.
#[derive(Debug)]
pub(super) struct Clients {
    most: usize,
    open: Arc<Open>,
}

type Open = Mutex<HashMap<IpAddr, usize>>;

/// A connection's place among those of its client; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    client: IpAddr,
    open: Arc<Open>,
}

impl Clients {
    /// At most so many for each address; 0 sets no limit.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: if most == 0 { usize::MAX } else { most },
            open: Arc::default(),
        }
    }

    /// One more connection of a client; `None` when it has all that it may have.
    pub(super) fn enter(&self, client: IpAddr) -> Option<Place> {
        let client = client.to_canonical();
        let mut open = lock(&self.open);
        let count = open.entry(client).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        let open = Arc::clone(&self.open);
        Some(Place { client, open })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

fn lock(open: &Open) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn each_client_has_its_own_number_and_leaves_nothing_behind() {
        let clients = Clients::new(2);
        let (a, b) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mapped = IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        let (first, second) = (clients.enter(a), clients.enter(mapped));
        assert!(first.is_some() && second.is_some());
        assert!(clients.enter(a).is_none() && clients.enter(b).is_some());
        drop(first);
        let third = clients.enter(a);
        assert!(third.is_some());
        drop((second, third));
        assert!(lock(&clients.open).is_empty());
    }
}
