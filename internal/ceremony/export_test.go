package ceremony

// AssertDecoy is what Decoy does, with its result.
func AssertDecoy(rp *RelyingParty, a *Assertion, e Expectation) error { return rp.assertDecoy(a, e) }

// ParseRegistrationWith is ParseRegistration for challenges of size bytes.
func ParseRegistrationWith(text []byte, size int) (*Registration, error) {
	return parseRegistration(text, size)
}

// ParseAssertionWith is ParseAssertion for challenges of size bytes.
func ParseAssertionWith(text []byte, size int) (*Assertion, error) { return parseAssertion(text, size) }
