//! Sends each record of a router job to one of the job's topics by a JSON field of its value:
//! `route-by-field(field="kind", routes="order=0,refund=1,*=2")`.

use weir_expr::json::{self, Json};
use weir_expr::path::Path;
use weir_plugin_sdk::{
    Batch, Changes, Description, Output, Parameter, Parameters, Plugin, Transform,
};

/// The plugin.
#[derive(Debug)]
pub struct RouteByField {
    field: Path,
    routes: Vec<(String, Route)>,
}

#[derive(Clone, Copy, Debug)]
enum Route {
    Output(u32),
    Drop,
}

impl Plugin for RouteByField {
    fn describe() -> Description {
        Description::new(
            "route-by-field",
            env!("CARGO_PKG_VERSION"),
            "Sends each record of a router job to a topic by a field of its JSON value.",
        )
        .parameter(Parameter::required(
            "field",
            "The path of the field, such as order.kind.",
        ))
        .parameter(Parameter::required(
            "routes",
            "The place of the topic, from 0, for each text of the field, such as \
             order=0,refund=1,test=drop,*=2; * is for all others. What has no route is refused.",
        ))
    }

    fn configure(parameters: &Parameters) -> Result<Self, String> {
        let field = parameters.text("field");
        let field = field
            .parse()
            .map_err(|error| format!("the parameter 'field' is '{field}': {error}"))?;
        let routes: Vec<_> = parameters
            .list("routes")
            .into_iter()
            .map(|text| {
                route(text).ok_or_else(|| {
                    format!(
                        "the parameter 'routes' has '{text}'; TEXT=PLACE or TEXT=drop is expected"
                    )
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { field, routes })
    }
}

fn route(text: &str) -> Option<(String, Route)> {
    let (name, place) = text.split_once('=')?;
    let route = match place.trim() {
        "drop" => Route::Drop,
        place => Route::Output(place.parse().ok()?),
    };
    Some((name.trim().to_owned(), route))
}

impl Transform for RouteByField {
    fn transform(&mut self, batch: &Batch) -> Result<Output, String> {
        let mut changes = Changes::of(batch);
        for row in batch {
            match self.route(row.value()) {
                Ok(Route::Drop) => changes.drop(row),
                Ok(Route::Output(place)) => {
                    changes.keep(row).output(place);
                }
                Err(reason) => changes.refuse(row, reason),
            }
        }
        changes.finish()
    }
}

impl RouteByField {
    fn route(&self, value: Option<&[u8]>) -> Result<Route, String> {
        let text = std::str::from_utf8(value.unwrap_or_default());
        let text = text.map_err(|_| "the value is not UTF-8".to_owned())?;
        let found = json::find(text, &self.field).ok().flatten();
        // A number or truth value routes by the text it is written with.
        let says = match found.map(|raw| (raw, Json::read(raw))) {
            Some((_, Some(Json::String(says)))) => says,
            Some((raw, Some(Json::Number(_) | Json::Bool(_)))) => raw.into(),
            _ => "".into(),
        };
        let named = |wanted: &str| self.routes.iter().find(|(name, _)| name == wanted);
        let route = named(&says).or_else(|| named("*"));
        route.map(|(_, route)| *route).ok_or_else(|| match found {
            None => format!("the value has no field '{}'", self.field),
            Some(_) => format!("there is no route for '{says}'"),
        })
    }
}

weir_plugin_sdk::transform!(RouteByField);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_plugin_sdk::testing::{Record, configure, transform};

    #[test]
    fn records_go_where_their_field_says() {
        let parameters = [("field", "o.kind"), ("routes", "order=1, 7=2, test=drop")];
        let records = [
            Record::value(r#"{"o":{"kind":"order"}}"#),
            Record::value(r#"{"o":{"kind":7}}"#),
            Record::value(r#"{"o":{"kind":"test"}}"#),
            Record::value(r#"{"o":{"kind":"refund"}}"#),
            Record::value("no JSON"),
            Record::tombstone("k"),
        ];
        let done = transform::<RouteByField>(&parameters, &records).unwrap();
        assert_eq!(done.rows, [0, 1]);
        assert_eq!(done.outputs, [1, 2]);
        let why: Vec<_> = done.refusals.iter().map(|(_, why)| why.as_str()).collect();
        assert_eq!(
            why,
            [
                "there is no route for 'refund'",
                "the value has no field 'o.kind'",
                "the value has no field 'o.kind'"
            ]
        );
    }

    #[test]
    fn the_star_takes_all_others() {
        let parameters = [("field", "kind"), ("routes", "a=1,*=0")];
        let records = [Record::value("{\"kind\":\"b\"}"), Record::tombstone("k")];
        let done = transform::<RouteByField>(&parameters, &records).unwrap();
        assert_eq!(done.outputs, [0, 0]);
        assert_eq!(done.records, records);
    }

    #[test]
    fn wrong_routes_are_named() {
        let parameters = [("field", "kind"), ("routes", "a=x")];
        let error = configure::<RouteByField>(&parameters).unwrap_err();
        assert!(error.contains("'a=x'"), "{error}");
    }
}
