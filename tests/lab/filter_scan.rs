//! What the lab's filter finds, and what it does not.

use std::time::{Duration, Instant};

use mailrobin::pattern;

use crate::{
    client::{ECHO, copy_through, lab, send},
    letter::{
        Letter, base64, eicar_text, gzipped, quoted_printable, tar_gz, with_file, with_spam,
        with_virus, zipped,
    },
};

const VIRUS: &str = "550 5.7.1 Message rejected: virus Lab.Eicar-Test-Signature found\r\n";
const SPAM: &str = "554 5.7.1 Gtube pattern\r\n";

#[tokio::test]
async fn a_virus_is_found_in_every_wrapping() {
    let lab = lab(&[]).await;
    let (eicar, text) = (&pattern::eicar(), &eicar_text());
    let letter = || Letter::new().text("A disclaimer above.");
    let inner = with_virus();
    for (case, message) in [
        ("a file of any name", with_virus()),
        ("a program", with_file("eicar.com", eicar)),
        (
            "white space behind",
            with_file("x", &[&eicar[..], &b" \t\r\n"[..]].concat()),
        ),
        (
            "128 bytes",
            with_file("x", &[&eicar[..], &[b' '; 60][..]].concat()),
        ),
        ("zip", with_file("a.zip", &zipped("x.txt", eicar, None))),
        (
            "zip in zip",
            with_file("a.bin", &zipped("b.bin", &zipped("x", eicar, None), None)),
        ),
        ("tar.gz", with_file("a.tar.gz", &tar_gz("folder/x", eicar))),
        ("gzip", with_file("a.gz", &gzipped(eicar))),
        (
            "zip in tar.gz",
            with_file("a", &tar_gz("x", &zipped("y", eicar, None))),
        ),
        ("the whole body", format!("Subject: x\r\n\r\n{text}\r\n")),
        (
            "an unencoded part",
            letter().text(text).text("A footer.").end(),
        ),
        (
            "quoted-printable",
            letter()
                .part(
                    "Content-Type: application/x-y\r\nContent-Transfer-Encoding: quoted-printable",
                    &quoted_printable(eicar),
                )
                .end(),
        ),
        ("html", letter().part("Content-Type: text/html", text).end()),
        (
            "encoded html",
            letter()
                .part(
                    "Content-Type: text/html\r\nContent-Transfer-Encoding: base64",
                    &base64(eicar),
                )
                .end(),
        ),
        (
            "a nested message",
            letter()
                .part(
                    "Content-Type: message/rfc822",
                    &inner.replace("limit", "inner"),
                )
                .end(),
        ),
        (
            "a zip in a nested message",
            letter()
                .part(
                    "Content-Type: message/rfc822",
                    &with_file("a.zip", &zipped("x", eicar, None)).replace("limit", "inner"),
                )
                .end(),
        ),
    ] {
        assert_eq!(send(&lab, ECHO, &message).await, VIRUS, "{case}");
    }
    let status = lab.control().command("status").unwrap();
    assert!(
        status.starts_with("accepted 0, delivered 0, quarantined 0"),
        "{status}"
    );
}

#[tokio::test]
async fn what_is_not_the_test_file_passes() {
    let lab = lab(&[]).await;
    let (eicar, text) = (&pattern::eicar(), &eicar_text());
    let padded = |behind: &[u8]| with_file("x", &[&eicar[..], behind].concat());
    for (case, message) in [
        ("129 bytes", padded(&[b' '; 61])),
        ("a footer behind it", padded(b"\r\n-- \r\nchecked")),
        (
            "something before it",
            with_file("x", &[b" ", &eicar[..]].concat()),
        ),
        ("cut short", with_file("x", &eicar[..67])),
        (
            "in a text",
            Letter::new()
                .text(&format!("This is {text} and no more."))
                .end(),
        ),
        (
            "below a disclaimer",
            Letter::new().text(&format!("Checked.\r\n{text}")).end(),
        ),
        (
            "a locked zip",
            with_file("a.zip", &zipped("eicar.com", eicar, Some("infected"))),
        ),
        (
            "a damaged zip",
            with_file("a.zip", &zipped("x", eicar, None)[..80]),
        ),
        ("a name alone", with_file("eicar.com", b"harmless")),
    ] {
        let reply = send(&lab, ECHO, &message).await;
        assert!(reply.starts_with("250"), "{case}: {reply}");
    }
}

#[tokio::test]
async fn clean_mail_is_told_from_what_was_not_scanned() {
    let message = with_file("a.txt", b"harmless");
    let copy = copy_through(&[], &message).await;
    let clean = "X-Virus-Scanned: lab filter\r\nX-Spam-Status: No, score=-0.1 required=15.0\r\n";
    assert!(copy.ends_with(&format!("{clean}{message}")), "{copy}");
    let copy = copy_through(&["filter-off"], &message).await;
    assert!(
        !copy.contains("X-Virus") && !copy.contains("X-Spam"),
        "{copy}"
    );
}

#[tokio::test]
async fn spam_is_found_anywhere_in_a_text() {
    let lab = lab(&[]).await;
    let gtube = &pattern::gtube();
    let text = &String::from_utf8(gtube.clone()).unwrap();
    for (case, message) in [
        ("plain", with_spam(b'X')),
        (
            "in a line",
            Letter::new().text(&format!("See {text}, then.")).end(),
        ),
        (
            "html",
            Letter::new()
                .part("Content-Type: text/html", &format!("<p>{text}</p>"))
                .end(),
        ),
        (
            "base64",
            Letter::new()
                .part(
                    "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64",
                    &base64(gtube),
                )
                .end(),
        ),
        (
            "quoted-printable",
            Letter::new()
                .part(
                    "Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable",
                    &quoted_printable(gtube),
                )
                .end(),
        ),
    ] {
        assert_eq!(send(&lab, ECHO, &message).await, SPAM, "{case}");
    }
    for (case, message) in [
        ("no text", with_file("x", gtube)),
        ("cut short", Letter::new().text(&text[..67]).end()),
        ("no such pattern", with_spam(b'B')),
    ] {
        let reply = send(&lab, ECHO, &message).await;
        assert!(reply.starts_with("250"), "{case}: {reply}");
    }
}

#[tokio::test]
async fn the_kin_of_gtube_name_their_action() {
    let copy = copy_through(&[], &with_spam(b'Y')).await;
    assert!(
        copy.contains("X-Spam: Yes\r\nX-Spamd-Bar: ++++++\r\n"),
        "{copy}"
    );
    assert!(copy.contains("\r\nSubject: An offer\r\n") && !copy.contains("X-Spam-Status"));

    let copy = copy_through(&[], &with_spam(b'Z')).await;
    assert!(
        copy.contains("\r\nSubject: ***SPAM*** An offer\r\n"),
        "{copy}"
    );
    assert!(!copy.contains("X-Spam"));

    let copy = copy_through(&[], &with_spam(b'A')).await;
    assert!(copy.contains("X-Spam-Status: No,") && copy.ends_with(&with_spam(b'A')));

    for first in [b'X', b'Y', b'Z', b'A'] {
        let copy = copy_through(&["spam=off"], &with_spam(first)).await;
        assert!(copy.contains("X-Spam-Status: No,") && copy.ends_with(&with_spam(first)));
    }
}

#[tokio::test]
async fn a_bomb_passes_soon() {
    let lab = lab(&[]).await;
    // Two hundred files of a few bytes, each of which unpacks to two megabytes.
    let member = gzipped(&vec![0; 2 * 1024 * 1024]);
    let mut tar = tar::Builder::new(Vec::new());
    for number in 0..200 {
        let mut header = tar::Header::new_gnu();
        header.set_size(member.len() as u64);
        header.set_mode(0o644);
        let name = format!("{number}.gz");
        tar.append_data(&mut header, name, member.as_slice())
            .unwrap();
    }
    let bomb = gzipped(&tar.into_inner().unwrap());
    let start = Instant::now();
    let reply = send(&lab, ECHO, &with_file("a.tar.gz", &bomb)).await;
    assert!(reply.starts_with("250"), "{reply}");
    assert!(start.elapsed() < Duration::from_secs(8));
}
