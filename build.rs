//! Build script of `crates/addon` (its manifest names this file): sets the linker flags of a Node-API addon.

fn main() {
    napi_build::setup();
}
