use super::*;

fn marks(header: &str, rules: &[MarkRule]) -> BTreeMap<String, Mark> {
    let raw = format!("{header}\r\n\r\nbody\r\n");
    let mail = Mail::parse(raw.as_bytes()).unwrap();
    read(&mail, rules)
}

fn positive(header: &str) -> bool {
    let marks = marks(header, &MarkRule::defaults());
    marks.values().any(|mark| mark.positive)
}

const POSITIVE: &[&str] = &[
    "X-Spam-Flag: YES",
    "X-Spam-Status: Yes, score=15.0 required=5.0",
    "X-Spam: Yes",
    "X-Virus-Status: Infected (Eicar-Signature.UNOFFICIAL)",
    "X-Virus-Status: Yes",
    "X-Virus-Flag: YES",
    "X-Spam-Virus: Yes (Eicar-Test-Signature)",
    "X-Spamd-Result: default: True [15.00 / 15.00]",
    "X-Rspamd-Action: add header",
    "X-Rspamd-Action: rewrite subject",
    "X-Virus: Eicar-Test-Signature",
    "X-Amavis-Alert: INFECTED, message contains virus: Eicar",
    "X-MailScanner-SpamCheck: spam, SpamAssassin (not cached, score=1000.5, required 6)",
    "X-Acme-MailScanner-SpamCheck: spam (blacklisted), SpamAssassin (score=7,\r\n\trequired 5)",
    "x-acme-org-mailscanner: Found to be infected",
    "X-Barracuda-Spam-Status: Yes, SCORE=1000 using global scores of TAG_LEVEL=3.5",
    "X-Barracuda-Spam-Flag: YES",
    "X-DSPAM-Result: Spam",
    "X-DSPAM-Result: Virus",
    "X-DSPAM-Result: echo; result=\"Spam\"; class=\"Spam\"; probability=1.0000",
    "X-Bogosity: Spam, tests=bogofilter, spamicity=0.999999, version=1.2.5",
    "X-Bogosity: Yes, tests=bogofilter, spamicity=1.000000",
    "X-SpamProbe: SPAM 0.9999990 d41d8cd98f00b204",
    "X-CRM114-Status: SPAM ( -12.53 )",
    "X-Spambayes-Classification: spam; 1.00",
    "X-Text-Classification: spam",
    "X-Assp-Spam: YES",
    "X-Proofpoint-Spam-Details: rule=spam policy=default score=99 spamscore=99 classifier=spam",
    "X-Proofpoint-Spam-Details: rule=inbound_spam policy=inbound score=100",
    "X-Proofpoint-Spam-Details: rule=spam_policy policy=spam score=100",
    "X-MS-Exchange-Organization-SCL: 6",
    "X-Forefront-Antispam-Report: CIP:192.0.2.1;SFV:SPM;SCL:5",
    "X-Forefront-Antispam-Report: CIP:192.0.2.1;CAT:HPHISH;SCL:9",
    "X-SES-Spam-Verdict: FAIL",
    "X-Gm-Spam: 1",
    "X-KLMS-AntiSpam-Status: spam",
    "X-KSMG-AntiSpam-Status: probable_spam",
    "X-KSE-AntiSpam-Status: KAS_STATUS_SPAM",
    "X-KLMS-AntiVirus-Status: Infected, EICAR-Test-File",
    "X-ESET-AS: R=SPAM;S=99;OP=CALC;TIME=1761733431",
    "X-ESET-Antispam: SPAM",
    "X-BitDefender-Spam: Yes (100)",
    "X-TM-AS-Result: Yes--27.069300-8.000000",
    "X-SpamInfo: FortiGuard-AntiSpam ase,",
    "X-SpamReason: Yes, hits=12.0 required=7.0",
    "X-VR-SPAMSTATE: SPAM",
    "X-VADE-SPAMSTATE: spam:low",
    "X-VadeSecure-score: verdict=spam score=300/300, class=spam",
    "X-Ovh-Spam-Status: SPAM",
    "X-SpamExperts-Class: spam",
    "X-antispameurope-Spamstatus: SPAM",
    "X-GMX-Antispam: 6 (nemesis text pattern profiler); Detail=V3;",
    "X-Yandex-Spam: 4",
    "X-Mras: SPAM",
    "Subject: ***SPAM*** hello",
    "Subject: FW: [EXTERNAL] ***Spam*** hello",
    "Subject: [VIRUS] hello",
    "X-Spam-Flag: NO\r\nX-Spam-Flag: YES",
];

const NOT_POSITIVE: &[&str] = &[
    "X-Spam-Flag: NO",
    "X-Spam-Status: No, score=-0.1",
    "X-Spam-Score: 1000",
    "X-Spam-Level: *************",
    "X-Spam: undefined",
    "X-Virus-Scanned: amavisd-new",
    "X-Virus-Status: Clean",
    "X-Virus-Status: No",
    "X-Virus-Status: not infected",
    "X-Virus: none",
    "X-Amavis-Alert: BAD HEADER SECTION, MIME error",
    "X-Spamd-Result: default: False [-0.10 / 15.00]",
    "X-Rspamd-Action: no action",
    "X-Rspamd-Action: greylist",
    "X-MailScanner-SpamCheck: not spam, SpamAssassin (score=-2.5, required 5, autolearn=not spam)",
    "X-MailScanner-SpamCheck: not spam (whitelisted)",
    "X-IMAG-MailScanner-SpamCheck:",
    "X-IMAG-MailScanner: Found to be clean",
    "X-IMAG-MailScanner-SpamScore: sssssss",
    "X-Barracuda-Spam-Status: No, SCORE=-2.02 using global scores of TAG_LEVEL=1000.0",
    "X-Barracuda-Spam-Score: 9.5",
    "X-DSPAM-Result: Innocent",
    "X-DSPAM-Result: Whitelisted",
    "X-DSPAM-Result: echo; result=\"Innocent\"; class=\"Innocent\"",
    "X-Bogosity: Ham, tests=bogofilter, spamicity=0.000000",
    "X-Bogosity: Unsure, tests=bogofilter, spamicity=0.520000",
    "X-Bogosity: No, tests=bogofilter",
    "X-SpamProbe: GOOD 0.0000000 d41d8cd98f00b204",
    "X-CRM114-Status: UNSURE ( 8.40 )",
    "X-Spambayes-Classification: ham; 0.07",
    "X-Text-Classification: inbox",
    "X-Assp-Spam-Prob: 0.99999",
    "X-Proofpoint-Spam-Details: rule=notspam policy=default score=0 spamscore=0 classifier=spam",
    "X-Proofpoint-Spam-Details: rule=outbound_check_notspam policy=outbound_check",
    "X-Proofpoint-Virus-Version: vendor=baseguard engine=ICAP:2.0.254 definitions=2023-05-11_10",
    "X-MS-Exchange-Organization-SCL: 1",
    "X-MS-Exchange-Organization-SCL: -1",
    "X-Forefront-Antispam-Report: CIP:192.0.2.1;SFV:NSPM;SCL:1;CAT:NONE",
    "X-SES-Spam-Verdict: PASS",
    "X-Gm-Spam: 0",
    "X-KLMS-AntiSpam-Status: not_detected",
    "X-KLMS-AntiSpam-Status: not scanned, disabled by settings",
    "X-KSE-AntiSpam-Status: KAS_STATUS_NOT_DETECTED",
    "X-KLMS-AntiVirus-Status: Clean, skipped",
    "X-ESET-AS: R=OK;S=0;OP=CALC;TIME=1761733431",
    "X-ESET-Antispam: OK",
    "X-EsetResult: clean, is OK",
    "X-BitDefender-Spam: No (14)",
    "X-TM-AS-Result: No-10--13.069300-8.000000",
    "X-SpamReason: No, hits=0.0 required=7.0",
    "X-IronPort-Anti-Spam-Filtered: true",
    "X-IronPort-Anti-Spam-Result: ApMBAJqTKlFZ8rke",
    "X-IronPort-AV: E=Sophos;i=\"4.84,730,1355097600\"; d=\"scan'208\"",
    "X-PMX-Spam: Gauge=IIIIIIII, Probability=8%",
    "X-VR-SPAMSTATE: OK",
    "X-VADE-SPAMSTATE: clean",
    "X-VR-SPAMCAUSE: gggruggvucftvghtrhhoucdtuddrgedufedrudeltddg",
    "X-VadeSecure-score: verdict=clean score=0/300, class=clean",
    "X-SpamExperts-Class: ham",
    "X-antispameurope-Spamstatus: CLEAN",
    "X-GMX-Antispam: 0 (Mail was not recognized as spam); Detail=V3;",
    "X-GMX-Antispam: -2 (not scanned, spam filter disabled)",
    "X-GMX-Antivirus: 0 (no virus found)",
    "X-Yandex-Spam: 1",
    "X-Mras: Ok",
    "Subject: FW: [EXTERNAL] hello",
    "Subject: about ***SPAM*** and how it is made",
];

#[test]
fn only_what_says_so_is_a_mark() {
    for header in POSITIVE {
        assert!(positive(header), "{header}");
    }
    for header in NOT_POSITIVE {
        assert!(!positive(header), "{header}");
    }
}

#[test]
fn the_config_names_more() {
    let rules = [
        "header:X-Acme-Verdict=spam",
        "header:X-*-Judge=class=bad",
        "subject:[JUNK]",
        "!!SPAM!!",
    ]
    .map(|rule| rule.parse().unwrap());
    let positive = |header: &str| {
        let marks = marks(header, &rules);
        let positive = marks.into_iter().filter(|(_, mark)| mark.positive);
        positive.map(|(field, _)| field).collect::<Vec<_>>()
    };
    for (header, field) in [
        ("X-Acme-Verdict: SPAM", "X-Acme-Verdict"),
        ("x-acme-verdict: Spam; score=9", "x-acme-verdict"),
        ("X-Example-Judge: class=bad, 9 points", "X-Example-Judge"),
        ("Subject: Re: [junk] hello", "Subject"),
        ("Subject: !!SPAM!! hello", "Subject"),
    ] {
        assert_eq!(positive(header), [field], "{header}");
    }
    for header in [
        "X-Acme-Verdict: not spam",
        "X-Acme-Verdict: spam-free",
        "X-Acme-Verdict: spam=no",
        "X-Acme-Verdict: ham",
        "X-Acme-Verdicts: spam",
        "X-Example-Judge: class=badly-formed",
        "Subject: ***SPAM*** hello",
    ] {
        assert!(positive(header).is_empty(), "{header}");
    }
}

#[test]
fn hostile_fields_are_bounded() {
    let header: Vec<_> = (0..1000)
        .map(|count| format!("X-é{count}-MailScanner: {}", "y".repeat(1000)))
        .collect();
    let marks = marks(&header.join("\r\n"), &[]);
    assert!(marks.len() <= MOST);
    assert!(marks.values().all(|mark| mark.value.len() <= KEPT));
}
