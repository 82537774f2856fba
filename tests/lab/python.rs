//! The lab under clients that nobody here wrote: Python's smtplib, imaplib and poplib.

use std::process::Stdio;

use tokio::process::Command;

use crate::client::lab;

const SCRIPT: &str = r#"
import imaplib, poplib, smtplib, ssl, sys
from email.message import EmailMessage

smtp_port, imap_port, pop3_port, ca = sys.argv[1:5]
context = ssl.create_default_context(cafile=ca)

message = EmailMessage()
message["From"], message["To"] = "probe@lab.example", "echo@echo.example"
message["Subject"] = "From Python: gr\u00fc\u00dfe"
message.set_content("Hello\n.dot\n")
message.add_attachment(b"\x00\x01" * 500, maintype="application", subtype="octet-stream", filename="a.bin")
with smtplib.SMTP("localhost", int(smtp_port), timeout=10) as smtp:
    smtp.starttls(context=context)
    smtp.login("probe", "probe")
    assert smtp.has_extn("DSN") and smtp.has_extn("PIPELINING")
    smtp.send_message(message, mail_options=["RET=HDRS", "ENVID=abc"], rcpt_options=["NOTIFY=FAILURE"])
    try:
        smtp.sendmail("probe@lab.example", ["x@elsewhere.example"], "x")
        raise SystemExit("relayed")
    except smtplib.SMTPRecipientsRefused:
        pass

imap = imaplib.IMAP4("localhost", int(imap_port), timeout=10)
imap.starttls(context)
imap.login("probe", "probe")
assert imap.list()[0] == "OK" and imap.namespace()[0] == "OK"
assert imap.select("INBOX") == ("OK", [b"1"])
typ, found = imap.uid("SEARCH", "SUBJECT", '"From Python"')
assert found == [b"1"], found
typ, data = imap.fetch("1", "(UID FLAGS BODY.PEEK[])")
body = data[0][1]
assert b"Received:" in body and b"filename=\"a.bin\"" in body
typ, data = imap.fetch("1", "(BODYSTRUCTURE ENVELOPE)")
assert b"octet-stream" in data[0], data
assert imap.append("Trash", "\\Seen", imaplib.Time2Internaldate(0), b"Subject: x\r\n\r\ny\r\n")[0] == "OK"

pop = poplib.POP3("localhost", int(pop3_port), timeout=10)
pop.stls(context)
pop.user("probe")
pop.pass_("probe")
assert pop.stat() == (1, len(body)), (pop.stat(), len(body))
response, lines, size = pop.retr(1)
assert b"\r\n".join(lines) + b"\r\n" == body
assert len(pop.top(1, 0)[1]) < len(lines) and len(pop.uidl()[1]) == 1
pop.dele(1)
pop.quit()

assert imap.noop()[0] == "OK"
assert imap.untagged_responses["EXPUNGE"] == [b"1"], imap.untagged_responses
imap.close()
imap.logout()
print("done")
"#;

#[tokio::test]
async fn python_clients_get_on_with_the_lab() {
    let mut found = Command::new("python3");
    found.arg("--version").stdout(Stdio::null());
    if !found.status().await.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: python3 is not installed, other mail clients were not tried");
        return;
    }
    let lab = lab(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, lab.ca_pem()).unwrap();
    let port = |address: std::net::SocketAddr| address.port().to_string();
    let output = Command::new("python3")
        .args(["-c", SCRIPT])
        .args([
            port(lab.smtp_addr()),
            port(lab.imap_addr()),
            port(lab.pop3_addr()),
        ])
        .arg(&ca)
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
