//! Builds `interpose.c` as a shared library with the compiler that also builds SQLite.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=interpose.c");
    let out = env::var("OUT_DIR").expect("cargo sets the directory of what is built");
    let library = Path::new(&out).join("interpose.so");
    println!("cargo::rustc-env=INTERPOSER={}", library.display());
    let mut command = cc::Build::new().get_compiler().to_command();
    let built = command
        .args(["-std=gnu17", "-O1", "-shared", "-fPIC", "-o"])
        .args([library.as_path(), Path::new("interpose.c")])
        .arg("-ldl")
        .status();
    assert!(built.is_ok_and(|status| status.success()), "cannot build interpose.c: {command:?}");
}
