//! From the template to what Lambda and API Gateway are started with.

use std::collections::BTreeMap;

use super::settings;
use crate::{
    binaries::Binaries,
    gateway::CorsOptions,
    lambda::FunctionOptions,
    template::{Function, Route, Template},
};

pub(super) fn functions(
    template: &Template,
    binaries: &Binaries,
    settings: &BTreeMap<String, BTreeMap<String, String>>,
) -> Vec<FunctionOptions> {
    let options = |function: &Function| FunctionOptions {
        name: function.binary.clone(),
        binary: binaries.paths.get(&function.binary).cloned(),
        timeout: function.timeout,
        memory_mb: function.memory_mb,
        environment: settings.get(&function.binary).cloned().unwrap_or_default(),
    };
    template.functions.iter().map(options).collect()
}

/// The routes with the functions' names in place of their logical ids.
pub(super) fn routes(template: &Template) -> Vec<Route> {
    let named = |route: &Route| {
        let function = template.function(&route.function)?;
        Some(Route {
            function: function.binary.clone(),
            ..route.clone()
        })
    };
    template.routes.iter().filter_map(named).collect()
}

pub(super) fn cors(template: &Template, settings: &BTreeMap<String, String>) -> CorsOptions {
    let default = CorsOptions::default();
    let template = template.cors.clone();
    let origins = settings.get(settings::CORS_ORIGINS).cloned();
    CorsOptions {
        allow_origin: origins
            .or(template.allow_origin)
            .unwrap_or(default.allow_origin),
        allow_headers: template.allow_headers.unwrap_or(default.allow_headers),
        max_age: template.max_age.unwrap_or(default.max_age),
    }
}
