//! Still pictures, from servers and from text.

use adit_media::{MediaError, MediaLimits, Picture, PictureFormat, PictureSource};
use adit_stand_in::video_host::{Reply, VideoHost};
use base64::{Engine, prelude::BASE64_STANDARD};

use crate::clips::{made, media, media_with, soon};

fn picture(suffix: &str, more: &str) -> Vec<u8> {
    made(b"", suffix, &format!("-f lavfi -i testsrc=s=81x60 -frames:v 1 {more} OUT"))
}

async fn fetch(body: Vec<u8>, content_type: Option<&str>) -> Result<Picture, MediaError> {
    let host = VideoHost::start().await.unwrap();
    let url = host.serve("/card", Reply::bytes(body).content_type(content_type));
    media().await.picture(PictureSource::Url(&url), soon()).await
}

async fn from_text(text: &str) -> Result<Picture, MediaError> {
    media().await.picture(PictureSource::Base64(text), soon()).await
}

#[tokio::test]
async fn each_format_is_known_by_its_content_and_measured() {
    for (suffix, more, format) in [
        ("png", "", PictureFormat::Png),
        ("jpg", "", PictureFormat::Jpeg),
        ("webp", "-c:v libwebp -lossless 0", PictureFormat::WebP),
        ("webp", "-c:v libwebp -lossless 1", PictureFormat::WebP),
        ("webp", "-vf format=rgba,colorchannelmixer=aa=0.5 -c:v libwebp", PictureFormat::WebP),
    ] {
        let bytes = picture(suffix, more);
        let picture = fetch(bytes.clone(), Some("application/octet-stream")).await.unwrap();
        assert_eq!((picture.format, picture.width, picture.height), (format, 81, 60));
        assert_eq!(picture.bytes, bytes);
    }
}

#[tokio::test]
async fn a_content_type_must_be_an_images_or_say_nothing() {
    let bytes = picture("png", "");
    for allowed in [None, Some("image/png"), Some("IMAGE/whatever"), Some("application/octet-stream; x=1")] {
        fetch(bytes.clone(), allowed).await.unwrap();
    }
    for refused in ["text/html", "video/mp4"] {
        let error = fetch(bytes.clone(), Some(refused)).await.unwrap_err();
        assert!(matches!(error, MediaError::NotPicture(_)), "{error}");
        assert!(error.to_string().contains(refused), "{error}");
    }
}

#[tokio::test]
async fn base64_is_read_with_and_without_a_data_prefix() {
    let bytes = picture("png", "");
    let text = BASE64_STANDARD.encode(&bytes);
    let wrapped: Vec<&str> =
        text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
    for text in [
        text.clone(),
        text.trim_end_matches('=').to_owned(),
        wrapped.join("\n"),
        format!("data:image/png;base64,{text}"),
        format!("DATA:image/png;charset=x;BASE64,{text}"),
    ] {
        assert_eq!(from_text(&text).await.unwrap().bytes, bytes);
    }
}

#[tokio::test]
async fn what_does_not_decode_is_no_picture() {
    let whole = picture("png", "");
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 40].fill(0x55);
    let jpeg = picture("jpg", "");
    for body in [
        vec![],
        b"<html></html>".to_vec(),
        b"GIF89a\x01\0\x01\0\0\0\0".to_vec(),
        whole[..whole.len() / 2].to_vec(),
        whole[..20].to_vec(),
        damaged,
        jpeg[..30].to_vec(),
        jpeg[..jpeg.len() / 2].to_vec(),
    ] {
        let error = fetch(body.clone(), None).await.unwrap_err();
        assert!(matches!(error, MediaError::NotPicture(_)), "{} bytes: {error:?}", body.len());
    }
    for text in ["", "!!!!", "data:image/png,plain", "data:image/png;base64"] {
        let error = from_text(text).await.unwrap_err();
        assert!(matches!(error, MediaError::NotPicture(_)), "{text:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_picture_over_the_size_limit_is_refused() {
    let limits = MediaLimits { max_picture_bytes: 1000, ..MediaLimits::default() };
    let media = media_with(limits).await;
    let host = VideoHost::start().await.unwrap();
    let png = picture("png", "-vf noise=alls=90");
    let text = BASE64_STANDARD.encode(&png);
    let url = host.serve("/card", Reply::bytes(png).content_type(None));
    for source in [PictureSource::Url(&url), PictureSource::Base64(&text)] {
        let error = media.picture(source, soon()).await.unwrap_err();
        assert!(matches!(error, MediaError::TooLarge { limit: 1000, .. }), "{error}");
    }
}

#[tokio::test]
async fn a_decompression_bomb_is_refused_by_its_header() {
    let mut png = picture("png", "");
    png[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
    png[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
    let error = fetch(png, None).await.unwrap_err();
    assert!(matches!(error, MediaError::TooLarge { .. }), "{error}");
}
