package sms_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/ostiary/auth/sms"
	"github.com/ostiary/auth/sms/twilio"
)

// In development, codes are read in the log of the program.
func ExampleNewLog() {
	sender := sms.NewLog(os.Stdout) // {"time":…,"msg":"text message","to":"+41791234567","code":"123456",…}
	err := sender.Send(context.Background(), sms.Message{To: "079 123 45 67", Text: "Your code is 123456.", Code: "123456"})
	fmt.Println(err)
	// Output:
	// sms: log: the number is not in the form of E.164
}

// A failure says whether it makes sense to try again.
func ExampleError() {
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"code": 21610, "message": "Attempt to send to unsubscribed recipient", "status": 400}`)
	}))
	defer gateway.Close()
	sender, err := twilio.New(twilio.Config{
		AccountSID: "AC00000000000000000000000000000000", Token: "secret", Service: "MG00000000000000000000000000000000", BaseURL: gateway.URL,
	})
	if err != nil {
		panic(err)
	}
	err = sender.Send(context.Background(), sms.Message{To: "+41791234567", Text: "Your code is 123456."})
	var e *sms.Error
	if errors.As(err, &e) {
		fmt.Println(e, "– permanent:", e.Permanent())
	}
	// Output:
	// sms: twilio: status 400: code 21610 – permanent: true
}
