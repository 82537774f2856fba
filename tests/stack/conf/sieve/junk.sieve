redirect "probe+junk@monitor.test";
