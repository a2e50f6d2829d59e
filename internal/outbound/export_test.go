package outbound

var NewTransport = newTransport
