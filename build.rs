//! Gives the shared library its soname and keeps it mapped once loaded.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    match target.as_str() {
        "linux" | "freebsd" | "netbsd" | "openbsd" | "android" => {
            // The number changes only with the ABI (see docs/abi.md).
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsmtpclient.so.0");
            // A look-up thread may outlive a cancelled call, so the code must
            // stay mapped even if the host calls dlclose.
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,relro,-z,now");
        }
        "macos" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libsmtpclient.0.dylib");
        }
        _ => {}
    }
}
