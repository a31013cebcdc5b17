//! Topic settings: the table of all of them, their values as types, and how they are described.

mod describe;
mod resolve;
mod table;

pub use describe::{ConfigEntry, ConfigSource, describe_topic};
pub use resolve::{StaticDefaults, TopicConfig, Validation};
pub(crate) use table::unknown;
pub use table::{ConfigKey, ConfigType, Rule, TOPIC_CONFIGS, check_value, find, find_broker_name};
