//! Keeps the records for which an expression is true:
//! `filter-by-expression(keep="value.age >= 18 and headers.region == 'eu'")`. The language is
//! that of `weir consume --filter`; it is described in the crate `weir-expr`.

use weir_expr::{Expr, Fields};
use weir_plugin_sdk::{
    Batch, Changes, Description, Output, Parameter, Parameters, Plugin, Row, Transform,
};

/// The plugin.
#[derive(Debug)]
pub struct FilterByExpression {
    keep: Expr,
}

impl Plugin for FilterByExpression {
    fn describe() -> Description {
        Description::new(
            "filter-by-expression",
            env!("CARGO_PKG_VERSION"),
            "Keeps the records for which an expression is true.",
        )
        .parameter(Parameter::required(
            "keep",
            "The expression, such as value.age >= 18 and not exists(headers.test).",
        ))
    }

    fn configure(parameters: &Parameters) -> Result<Self, String> {
        let keep = parameters.text("keep").parse();
        let keep = keep.map_err(|error| format!("the parameter 'keep' is wrong {error}"))?;
        Ok(Self { keep })
    }
}

/// A row as the expression sees it.
struct Record<'a> {
    row: Row<'a>,
    batch: &'a Batch,
}

impl Fields for Record<'_> {
    fn key(&self) -> Option<&[u8]> {
        self.row.key()
    }

    fn value(&self) -> Option<&[u8]> {
        self.row.value()
    }

    fn header(&self, name: &str) -> Option<Option<&[u8]>> {
        self.row.header(name).map(|header| header.value)
    }

    fn topic(&self) -> &str {
        self.batch.topic()
    }

    fn partition(&self) -> u32 {
        self.batch.partition()
    }

    fn offset(&self) -> i64 {
        self.row.offset()
    }

    fn timestamp(&self) -> i64 {
        self.row.timestamp()
    }
}

impl Transform for FilterByExpression {
    fn transform(&mut self, batch: &Batch) -> Result<Output, String> {
        let mut changes = Changes::of(batch);
        for row in batch {
            if self.keep.matches(&Record { row, batch }) {
                changes.keep(row);
            }
        }
        changes.finish()
    }
}

weir_plugin_sdk::transform!(FilterByExpression);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin_sdk::testing::{Record, configure, transform};

    #[test]
    fn what_the_expression_holds_for_stays() {
        let records = [
            Record::new("a", r#"{"age":17}"#),
            Record::new("b", r#"{"age":18}"#).header("region", "eu"),
            Record::new("c", r#"{"age":99}"#).header("region", "us"),
            Record::tombstone("d"),
        ];
        let keep = "value.age >= 18 and headers.region == 'eu' or key == 'd'";
        let done = transform::<FilterByExpression>(&[("keep", keep)], &records).unwrap();
        assert_eq!(done.rows, [1, 3]);
        assert_eq!(done.records, [records[1].clone(), records[3].clone()]);
    }

    #[test]
    fn offsets_partition_and_topic_are_known() {
        let records: Vec<_> = (0..10).map(|n| Record::value("x").at(n * 10)).collect();
        let keep = "offset >= 3 and timestamp < 60 and partition == 0 and topic == 'test'";
        let done = transform::<FilterByExpression>(&[("keep", keep)], &records).unwrap();
        assert_eq!(done.rows, [3, 4, 5]);
    }

    #[test]
    fn a_wrong_expression_is_told_where() {
        let error = configure::<FilterByExpression>(&[("keep", "value.age = 1")]).unwrap_err();
        assert!(
            error.starts_with("the parameter 'keep' is wrong at byte 10: `==`"),
            "{error}"
        );
    }
}
