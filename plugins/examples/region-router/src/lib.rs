//! Chooses the partition by the region that a key names: each region has partitions of its own,
//! and within them a key always has the same one. `region-router(regions="eu=0-3,us=4-7")`.
//! Keys are `eu:4711` or, with `field=region`, JSON such as `{"region":"eu","id":4711}`.

use weir_expr::json::{self, Json};
use weir_expr::path::Path;
use weir_plugin_sdk::{Description, Parameter, Parameters, Partitioner, Plugin};

/// The plugin.
#[derive(Debug)]
pub struct RegionRouter {
    regions: Vec<Region>,
    separator: String,
    field: Option<Path>,
}

#[derive(Debug)]
struct Region {
    name: String,
    first: u32,
    last: u32,
}

impl Plugin for RegionRouter {
    fn describe() -> Description {
        Description::new(
            "region-router",
            env!("CARGO_PKG_VERSION"),
            "Gives each region partitions of its own, and each key one of its region's.",
        )
        .parameter(Parameter::required(
            "regions",
            "Regions and their partitions, such as eu=0-3,us=4-7,*=8; * is for all others.",
        ))
        .parameter(Parameter::with_default(
            "separator",
            "What ends the region at the start of a key.",
            ":",
        ))
        .parameter(Parameter::optional(
            "field",
            "The path of the region, for keys that are JSON.",
        ))
    }

    fn configure(parameters: &Parameters) -> Result<Self, String> {
        let regions: Vec<Region> = parameters
            .list("regions")
            .into_iter()
            .map(|text| {
                region(text).ok_or_else(|| {
                    format!("the parameter 'regions' has '{text}'; NAME=FIRST-LAST is expected")
                })
            })
            .collect::<Result<_, _>>()?;
        let field = match parameters.get("field") {
            None => None,
            Some(text) => Some(
                text.parse()
                    .map_err(|error| format!("the parameter 'field' is '{text}': {error}"))?,
            ),
        };
        Ok(Self {
            regions,
            separator: parameters.text("separator").to_owned(),
            field,
        })
    }
}

fn region(text: &str) -> Option<Region> {
    let (name, partitions) = text.split_once('=')?;
    let (first, last) = partitions
        .split_once('-')
        .unwrap_or((partitions, partitions));
    let region = Region {
        name: name.trim().to_owned(),
        first: first.trim().parse().ok()?,
        last: last.trim().parse().ok()?,
    };
    (region.first <= region.last).then_some(region)
}

impl Partitioner for RegionRouter {
    fn partition(&mut self, key: Option<&[u8]>, partitions: u32) -> Result<u32, String> {
        let key = key.unwrap_or_default();
        let name = self.name(key);
        let named = |wanted: &str| self.regions.iter().find(|region| region.name == wanted);
        let region = named(&name)
            .or_else(|| named("*"))
            .ok_or_else(|| format!("there is no region '{name}'"))?;
        if region.last >= partitions {
            return Err(format!(
                "region '{}' has partitions up to {}, but the topic has {partitions}",
                region.name, region.last
            ));
        }
        Ok(region.first + fnv1a(key) % (region.last - region.first + 1))
    }
}

impl RegionRouter {
    fn name<'k>(&self, key: &'k [u8]) -> std::borrow::Cow<'k, str> {
        let text = std::str::from_utf8(key).unwrap_or_default();
        let Some(field) = &self.field else {
            let end = text.find(&self.separator).unwrap_or(0);
            return text[..end].into();
        };
        let found = json::find(text, field).ok().flatten();
        match found.and_then(Json::read) {
            Some(Json::String(name)) => name,
            _ => "".into(),
        }
    }
}

/// FNV-1a: small, and the same everywhere.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash: u32, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

weir_plugin_sdk::partitioner!(RegionRouter);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin_sdk::testing::{configure, partition};

    #[test]
    fn a_region_has_its_partitions_and_a_key_has_one() {
        let parameters = [("regions", "eu=0-3, us=4-6, *=7")];
        let keys: Vec<String> = (0..400)
            .map(|n| format!("{}:{n}", if n % 2 == 0 { "eu" } else { "us" }))
            .collect();
        let keys: Vec<_> = keys.iter().map(|key| Some(key.as_bytes())).collect();
        let chosen = partition::<RegionRouter>(&parameters, &keys, 8).unwrap();
        for partition in 0..7 {
            let count = chosen.iter().filter(|p| **p == partition).count();
            assert!(count > 30, "partition {partition} has {count} keys");
        }
        assert!(chosen.iter().step_by(2).all(|p| *p <= 3));
        assert!(
            chosen
                .iter()
                .skip(1)
                .step_by(2)
                .all(|p| (4..=6).contains(p))
        );
        let again = partition::<RegionRouter>(&parameters, &keys, 8).unwrap();
        assert_eq!(chosen, again);
        let others = [Some(&b"asia:1"[..]), Some(b""), None, Some(b"\xff")];
        let others = partition::<RegionRouter>(&parameters, &others, 8).unwrap();
        assert_eq!(others, [7; 4]);
    }

    #[test]
    fn the_region_may_be_a_field() {
        let parameters = [("regions", "eu=0,us=1"), ("field", "at.region")];
        let keys: [Option<&[u8]>; 2] = [
            Some(br#"{"at":{"region":"us"},"id":1}"#),
            Some(br#"{"at":{"region":"\u0065u"}}"#),
        ];
        assert_eq!(
            partition::<RegionRouter>(&parameters, &keys, 2),
            Ok(vec![1, 0])
        );
    }

    #[test]
    fn what_cannot_be_placed_is_said() {
        let parameters = [("regions", "eu=0-3")];
        let error = |key: &[u8], count| {
            partition::<RegionRouter>(&parameters, &[Some(key)], count).unwrap_err()
        };
        assert_eq!(error(b"us:1", 4), "there is no region 'us'");
        assert!(error(b"eu:1", 3).contains("up to 3, but the topic has 3"));
        let wrong = configure::<RegionRouter>(&[("regions", "eu=3-0")]).unwrap_err();
        assert!(wrong.contains("'eu=3-0'"), "{wrong}");
    }
}
