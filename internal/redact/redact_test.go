package redact

import "testing"

func TestURLsWithoutTheirSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"127.0.0.1:4161":                 "127.0.0.1:4161",
		"not a URL @ all":                "not a URL @ all",
		"/run/qd.sock":                   "/run/qd.sock",
		"http://h:1":                     "http://h:1",
		"http://h:1/":                    "http://h:1/",
		"https://h/auth":                 "https://h/auth",
		"http://[::1]:1/api/v1/stats":    "http://[::1]:1/api/v1/stats",
		"http://ann:s3cret@h:1/auth":     "http://redacted@h:1/auth",
		"http://ann@h:1":                 "http://redacted@h:1",
		"ann:s3cret@h:1":                 "redacted@h:1",
		"https://h/services/T0/B0/s3cet": "https://h/services/redacted/redacted/redacted",
		"https://h/hooks/letters":        "https://h/hooks/redacted",
		"https://h/auth%2Fs3cret":        "https://h/auth/redacted",
		"https://h/auth?token=s3cret&b=": "https://h/auth?b=redacted&token=redacted",
		"https://h/#s3cret":              "https://h/#redacted",
		"https://ann:s3cret@h:x/auth":    "https://redacted",
	} {
		if got := URL(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}

func TestTextsWithoutSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"no URL": "no URL",
		`Post "http://ann:s3cret@h:1/x": connection refused`:   `Post "http://redacted@h:1/redacted": connection refused`,
		"failed (http://a:b@h:1/s3cret), http://h:2.":          "failed (http://redacted@h:1/redacted), http://h:2.",
		`failed (http://ann:s3,cr'et;@h:1), http://b:2`:        "failed (http://redacted@h:1), http://b:2",
		`["http://b:2","http://ann:s3@cret@h:1","c@d:1"]`:      `["http://b:2","http://redacted@h:1","c@d:1"]`,
		"asked https://h/auth?token=s3cret: no answer in time": "asked https://h/auth?token=redacted: no answer in time",
	} {
		if got := Text(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}

func TestArgumentsWithoutSecrets(t *testing.T) {
	for text, want := range map[string]string{
		"--auth-http-address=http://a:b@h:1/auth": "--auth-http-address=http://redacted@h:1/auth",
		"-x=http://a:b@h:1,http://h:2/s3cret":     "-x=http://redacted@h:1,http://h:2/redacted",
		"-x=http://ann:s3,cr'et@h:1":              "-x=http://redacted@h:1",
		"-x=ann:s3cret@h:1,b:2":                   "-x=redacted@h:1,b:2",
		"http://a:b@h:1":                          "http://redacted@h:1",
		"--data-path=/data":                       "--data-path=/data",
		"--lookupd-tcp-address":                   "--lookupd-tcp-address",
	} {
		if got := Argument(text); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}
