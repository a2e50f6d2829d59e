package fakesmtp

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
)

var mechanisms = []string{"PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"}

func (o Options) mechanisms() []string {
	if o.Mechanisms != nil {
		return o.Mechanisms
	}
	return mechanisms
}

const (
	accepted = "235 2.7.0 welcome"
	refused  = "535 5.7.8 who are you?"
)

// authenticate is RFC 4954.
func (c *Conn) authenticate(argument string) bool {
	o := c.server.options
	name, initial, _ := strings.Cut(argument, " ")
	if !slices.Contains(o.mechanisms(), name) || o.User == "" || !c.tls && !o.AuthInClear || c.user != "" {
		return c.write("504 5.5.4 not that way")
	}
	var ok, alive bool
	switch name {
	case "PLAIN":
		ok, alive = c.plain(initial)
	case "LOGIN":
		ok, alive = c.login()
	case "CRAM-MD5":
		ok, alive = c.cramMD5()
	case "SCRAM-SHA-1":
		ok, alive = c.scram(sha1.New)
	case "SCRAM-SHA-256":
		ok, alive = c.scram(sha256.New)
	}
	switch {
	case !alive:
		alive, c.answered = c.answered, false
		return alive
	case !ok:
		return c.write(refused)
	}
	c.user = o.User
	return c.write(accepted)
}

// ask sends a challenge and returns the response. The exchange is not alive if the connection is closed, or if the test
// has answered. An asterisk, which gives up, is a wrong response.
func (c *Conn) ask(challenge string) (response string, alive bool) {
	if !c.write("334 " + base64.StdEncoding.EncodeToString([]byte(challenge))) {
		return "", false
	}
	line, err := c.text.ReadLine()
	if err != nil {
		return "", false
	}
	c.hear(line)
	if instead, _, alive := c.misbehave("AUTH-RESPONSE", line); instead || !alive {
		c.answered = alive
		return "", false
	}
	decoded, err := base64.StdEncoding.DecodeString(line)
	if err != nil {
		return "*", true
	}
	return string(decoded), true
}

func (c *Conn) plain(initial string) (ok, alive bool) {
	decoded, _ := base64.StdEncoding.DecodeString(initial)
	o := c.server.options
	return string(decoded) == "\x00"+o.User+"\x00"+o.Password, true
}

func (c *Conn) login() (ok, alive bool) {
	user, alive := c.ask("Username:")
	if !alive {
		return false, false
	}
	password, alive := c.ask("Password:")
	o := c.server.options
	return user == o.User && password == o.Password, alive
}

func (c *Conn) cramMD5() (ok, alive bool) {
	challenge := "<" + rand.Text() + "@fake.example.test>"
	response, alive := c.ask(challenge)
	o := c.server.options
	mac := hmac.New(md5.New, []byte(o.Password))
	mac.Write([]byte(challenge))
	return response == o.User+" "+hex.EncodeToString(mac.Sum(nil)), alive
}

// scram is RFC 5802 without channel binding.
func (c *Conn) scram(h func() hash.Hash) (ok, alive bool) {
	o := c.server.options
	first, alive := c.ask("")
	if !alive {
		return false, false
	}
	bare, found := strings.CutPrefix(first, "n,,")
	user, nonce, comma := strings.Cut(bare, ",")
	if !found || !comma || user != "n="+o.User || !strings.HasPrefix(nonce, "r=") {
		return false, true
	}
	if o.SkipProof {
		return true, true
	}
	iterations := o.Iterations
	if iterations == 0 {
		iterations = 4096
	}
	salt := []byte(rand.Text())
	nonce += rand.Text()
	serverFirst := fmt.Sprintf("%s,s=%s,i=%d", nonce, base64.StdEncoding.EncodeToString(salt), iterations)
	final, alive := c.ask(serverFirst)
	if !alive {
		return false, false
	}
	withoutProof, proof64, found := strings.Cut(final, ",p=")
	proof, err := base64.StdEncoding.DecodeString(proof64)
	if !found || err != nil || withoutProof != "c=biws,"+nonce {
		return false, true
	}
	salted, err := pbkdf2.Key(h, o.Password, salt, iterations, h().Size())
	if err != nil {
		return false, true
	}
	message := bare + "," + serverFirst + "," + withoutProof
	clientKey := sum(h, salted, "Client Key")
	stored := h()
	stored.Write(clientKey)
	signature := sum(h, stored.Sum(nil), message)
	subtle.XORBytes(clientKey, clientKey, signature)
	if !o.Forge && !hmac.Equal(clientKey, proof) {
		return false, true
	}
	verifier := sum(h, sum(h, salted, "Server Key"), message)
	if o.Forge {
		verifier[0] ^= 1
	}
	response, alive := c.ask("v=" + base64.StdEncoding.EncodeToString(verifier))
	return response == "", alive
}

func sum(h func() hash.Hash, key []byte, message string) []byte {
	mac := hmac.New(h, key)
	mac.Write([]byte(message))
	return mac.Sum(nil)
}
