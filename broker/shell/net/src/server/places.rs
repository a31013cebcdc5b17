//! How many connections there are, in all and from each address.
//!
//! A place is given back when its connection is dropped, however it ends.

use crate::counters::Rejected;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// The places of a server.
pub(crate) struct Places {
    total_max: usize,
    per_ip_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    total: usize,
    per_ip: HashMap<IpAddr, usize>,
}

/// One connection's place.
pub(crate) struct Place {
    ip: IpAddr,
    places: Arc<Places>,
}

impl Places {
    pub(crate) fn new(total_max: usize, per_ip_max: usize) -> Arc<Self> {
        Arc::new(Self {
            total_max,
            per_ip_max,
            taken: Mutex::default(),
        })
    }

    /// A place for a peer, or why there is none.
    pub(crate) fn take(self: &Arc<Self>, ip: IpAddr) -> Result<Place, Rejected> {
        let ip = ip.to_canonical();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.total >= self.total_max {
            return Err(Rejected::Connections);
        }
        let from_ip = taken.per_ip.entry(ip).or_default();
        if *from_ip >= self.per_ip_max {
            return Err(Rejected::ConnectionsPerIp);
        }
        *from_ip += 1;
        taken.total += 1;
        Ok(Place {
            ip,
            places: self.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self
            .places
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(1);
        if let Some(count) = taken.per_ip.get_mut(&self.ip) {
            *count -= 1;
            if *count == 0 {
                taken.per_ip.remove(&self.ip);
            }
        }
    }
}

/// Why a peer finds no place, in words.
pub(crate) fn no_place(reason: Rejected) -> &'static str {
    match reason {
        Rejected::ConnectionsPerIp => {
            "turned away: its address has as many connections as are allowed \
             (max.connections.per.ip)"
        }
        Rejected::Handshakes => "turned away: too many handshakes are under way",
        _ => "turned away: there are as many connections as are allowed (max.connections)",
    }
}
