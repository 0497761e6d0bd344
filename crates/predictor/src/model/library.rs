//! Where ONNX Runtime is.

use std::fs;
use std::path::{Path, PathBuf};

/// The library: the one named, else beside this program, else in the `onnxruntime` package of the environment that
/// `python` is in.
#[must_use]
pub fn find_onnx_runtime(named: Option<&Path>, python: &Path) -> Option<PathBuf> {
    if let Some(path) = named {
        return Some(path.to_owned());
    }
    let beside = std::env::current_exe().ok().and_then(|program| in_folder(program.parent()?));
    beside.or_else(|| in_environment(python))
}

/// `lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so.1.32.0`, beside `bin/python`.
fn in_environment(python: &Path) -> Option<PathBuf> {
    let library = python.parent()?.parent()?.join("lib");
    let versions = fs::read_dir(library).ok()?.flatten();
    let mut packages: Vec<PathBuf> = versions
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("python3"))
        .map(|entry| entry.path().join("site-packages/onnxruntime/capi"))
        .collect();
    packages.sort();
    packages.iter().rev().find_map(|folder| in_folder(folder))
}

fn in_folder(folder: &Path) -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libonnxruntime.so"))
        })
        .collect();
    found.sort();
    found.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_of_a_virtual_environment_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("bin/python");
        let nowhere = find_onnx_runtime(None, &python);
        let package = folder.path().join("lib/python3.11/site-packages/onnxruntime/capi");
        fs::create_dir_all(&package).unwrap();
        fs::write(package.join("libonnxruntime_providers_shared.so"), "").unwrap();
        fs::write(package.join("libonnxruntime.so.1.32.0"), "").unwrap();
        assert_eq!(nowhere, None);
        assert_eq!(find_onnx_runtime(None, &python), Some(package.join("libonnxruntime.so.1.32.0")));
        let named = Path::new("/opt/libonnxruntime.so");
        assert_eq!(find_onnx_runtime(Some(named), &python), Some(named.to_owned()));
    }
}
