//! What wit-bindgen makes of `wit/weir-plugin`: one module for each world, with shared types.
//! Nothing here is written by hand, and plugins need not look at it.
#![allow(missing_docs, unsafe_code, unreachable_pub, clippy::all)]

/// The world `transform`, which brings the types of all worlds.
pub mod transform {
    wit_bindgen::generate!({
        path: "../../wit/weir-plugin",
        world: "weir:plugin/transform",
        runtime_path: "weir_plugin_sdk::bindings::rt",
        pub_export_macro: true,
        default_bindings_module: "weir_plugin_sdk::bindings::transform",
        generate_all,
    });
}

/// The world `partitioner`.
pub mod partitioner {
    wit_bindgen::generate!({
        path: "../../wit/weir-plugin",
        world: "weir:plugin/partitioner",
        runtime_path: "weir_plugin_sdk::bindings::rt",
        pub_export_macro: true,
        default_bindings_module: "weir_plugin_sdk::bindings::partitioner",
        with: {
            "weir:plugin/records@1.0.0": crate::bindings::transform::weir::plugin::records,
            "weir:plugin/description@1.0.0": crate::bindings::transform::weir::plugin::description,
            "weir:plugin/host@1.0.0": crate::bindings::transform::weir::plugin::host,
        },
    });
}

/// The world `decoder`.
pub mod decoder {
    wit_bindgen::generate!({
        path: "../../wit/weir-plugin",
        world: "weir:plugin/decoder",
        runtime_path: "weir_plugin_sdk::bindings::rt",
        pub_export_macro: true,
        default_bindings_module: "weir_plugin_sdk::bindings::decoder",
        with: {
            "weir:plugin/records@1.0.0": crate::bindings::transform::weir::plugin::records,
            "weir:plugin/description@1.0.0": crate::bindings::transform::weir::plugin::description,
            "weir:plugin/host@1.0.0": crate::bindings::transform::weir::plugin::host,
        },
        generate_all,
    });
}

pub use wit_bindgen::rt;
