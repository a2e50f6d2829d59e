package phone_test

import (
	"fmt"

	"github.com/ostiary/auth/sms/phone"
)

func ExampleParser_Parse() {
	numbers, err := phone.New(phone.Rules{Region: "CH", Countries: []string{"AT", "CH", "DE"}})
	if err != nil {
		panic(err)
	}
	for _, s := range []string{"079 123 45 67", "+49 (0)1512 3456789", "+1 202 555 0123", "0900 123 456"} {
		fmt.Println(numbers.Parse(s))
	}
	// Output:
	// +41791234567 <nil>
	// +4915123456789 <nil>
	//  phone: not a number of a country that is served
	//  phone: not a number that takes text messages
}
