//! Small media files of this project's own: 96 × 64 pixels of colour bars, without C2PA data.

/// A PNG.
pub const PNG: &[u8] = include_bytes!("../media/picture.png");
/// A JPEG.
pub const JPEG: &[u8] = include_bytes!("../media/picture.jpg");
/// A WebP, lossy.
pub const WEBP: &[u8] = include_bytes!("../media/picture.webp");
/// An MP4 of 12 frames in one second, H.264, its index in front.
pub const MP4: &[u8] = include_bytes!("../media/clip.mp4");
/// The same as MOV.
pub const MOV: &[u8] = include_bytes!("../media/clip.mov");

/// Each of them.
pub const ALL: [&[u8]; 5] = [PNG, JPEG, WEBP, MP4, MOV];
