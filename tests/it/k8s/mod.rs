//! The Kubernetes manifests: what they must say, checked without a cluster.
//!
//! `manifests` reads `k8s/base` as kustomize would; `pods`, `redis` and `wiring` complain about what is wrong with
//! it; `wrong` breaks it on purpose; `tools` asks kubectl and the API's own schemas; `live` runs what they run. The
//! same for `k8s/overlays` is in `overlays`, `custom` and `scripts`.

mod custom;
mod live;
mod manifests;
mod overlays;
mod pods;
mod redis;
mod scripts;
mod tools;
mod wiring;
mod wrong;

use manifests::Manifests;

/// Everything that is wrong.
fn complaints(manifests: &Manifests) -> Vec<String> {
    let config = match manifests.config() {
        Ok(config) => config,
        Err(message) => return vec![format!("the ConfigMap is refused: {message}")],
    };
    [
        pods::complaints(manifests, &config),
        redis::complaints(manifests, &config),
        wiring::complaints(manifests, &config),
    ]
    .concat()
}

#[test]
fn the_base_says_what_it_must() {
    assert_eq!(complaints(&Manifests::base()), Vec::<String>::new());
}
