require ["envelope", "subaddress", "fileinto"];
if envelope :detail "to" "junk" {
    fileinto "Junk";
}
