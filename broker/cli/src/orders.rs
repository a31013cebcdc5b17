//! A million shop orders, the same on every run and every machine: what `quickstart` produces when
//! it is given no file. Pure arithmetic from a fixed seed; no clock, no randomness of the system.

use std::io::Write as _;

/// How many orders there are.
pub(crate) const ORDERS: u64 = 1_000_000;

/// How many customers give them.
const CUSTOMERS: u64 = 50_000;

/// Any number will do, but it must stay: the orders of one release are those of the next.
const SEED: u64 = 0x5745_4952_2026_0001;

/// The first order's time, in seconds since 1970: 2026-01-05T08:00:00Z.
const FIRST_ORDER_S: u64 = 1_767_600_000;

const CITIES: [&str; 12] = [
    "Lisbon", "Bremen", "Graz", "Łódź", "Malmö", "Ghent", "Porto", "Turku", "Split", "Tartu",
    "Kraków", "Aarhus",
];

const GOODS: [(&str, u64); 16] = [
    ("kettle", 3490),
    ("notebook", 450),
    ("lamp", 5900),
    ("mug", 890),
    ("backpack", 7995),
    ("scarf", 2450),
    ("teapot", 4200),
    ("umbrella", 1999),
    ("clock", 3300),
    ("basket", 1575),
    ("blanket", 6450),
    ("bottle", 1290),
    ("pencils", 620),
    ("radio", 8900),
    ("chair", 12900),
    ("rug", 15900),
];

/// The orders, one after another.
#[derive(Debug)]
pub(crate) struct Orders {
    random: SplitMix,
    number: u64,
    at_s: u64,
}

/// A generator of numbers (SplitMix64, Steele et al. 2014) whose sequence depends on nothing but
/// its seed.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; the bias of a few in 2^64 does not matter to shop orders.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let index = self.below(from.len() as u64);
        from.get(usize::try_from(index).unwrap_or(0))
    }
}

impl Orders {
    /// From the first order.
    pub(crate) fn new() -> Self {
        Self {
            random: SplitMix(SEED),
            number: 0,
            at_s: FIRST_ORDER_S,
        }
    }

    /// Writes the next order's key (its customer) and value (JSON, one line) over what is in the
    /// buffers.
    pub(crate) fn next(&mut self, key: &mut Vec<u8>, value: &mut Vec<u8>) {
        self.number += 1;
        self.at_s += self.random.below(4);
        key.clear();
        value.clear();
        // The smaller of two draws: some customers order far more often than others.
        let customer = self
            .random
            .below(CUSTOMERS)
            .min(self.random.below(CUSTOMERS));
        // Writing to memory cannot fail.
        let _ = write!(key, "customer-{customer:05}");
        self.write_value(customer, value);
    }

    fn write_value(&mut self, customer: u64, value: &mut Vec<u8>) {
        let city = self.random.pick(&CITIES).copied().unwrap_or_default();
        let _ = write!(
            value,
            "{{\"order\":{},\"at\":{},\"customer\":\"customer-{customer:05}\",\"city\":\"{city}\",\"items\":[",
            self.number, self.at_s,
        );
        let mut total_cents = 0;
        for item in 0..=self.random.below(4) {
            let (name, cents) = self.random.pick(&GOODS).copied().unwrap_or_default();
            let quantity = 1 + self.random.below(3);
            total_cents += cents * quantity;
            let comma = if item == 0 { "" } else { "," };
            let _ = write!(
                value,
                "{comma}{{\"sku\":\"{name}\",\"quantity\":{quantity},\"cents\":{cents}}}"
            );
        }
        let _ = write!(
            value,
            "],\"total_cents\":{total_cents},\"currency\":\"EUR\"}}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_orders_are_the_same_on_every_run() {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        let mut orders = Orders::new();
        let mut hash = 0_u64;
        for number in 1..=20_000 {
            orders.next(&mut key, &mut value);
            let order: serde_json::Value = serde_json::from_slice(&value).unwrap();
            assert_eq!(order["order"], number);
            assert_eq!(order["customer"].as_str().unwrap().as_bytes(), key);
            let bytes = key.iter().chain(&value);
            hash = bytes.fold(hash, |hash, &byte| {
                hash.wrapping_mul(31).wrapping_add(byte.into())
            });
        }
        assert_eq!(hash, 2_799_290_063_080_104_188, "the generator changed");
    }
}
