package httpadapter_test

import (
	"testing"
	"time"

	"github.com/ostiary/auth"
	"github.com/ostiary/auth/httpadapter"
)

func TestAnAccountIsExportedAndDeleted(t *testing.T) {
	t.Parallel()
	h := newFixture(t, httpadapter.Options{})
	ada := h.engine.SignUp(t, "ada@example.com")
	got := want200[auth.AccountData](t, do(t, h, "GET", "/user/export", "", bearer(ada)...))
	if got.User.ID != ada.User.ID || len(got.Sessions) != 1 || !got.HasPassword {
		t.Errorf("%+v", got)
	}
	h.engine.Clock.Advance(10*time.Minute + time.Second)
	w := do(t, h, "DELETE", "/user", "", bearer(ada)...)
	wantRefused(t, w, 403, auth.CodeElevationRequired)
	wantStepUp(t, w, `Bearer error="insufficient_user_authentication", error_description="To have signed in just now, or a step-up, is required"`)
	ada = h.engine.SignIn(t, "ada@example.com")
	wantOK(t, do(t, h, "DELETE", "/user", "", bearer(ada)...))
	wantRefused(t, do(t, h, "GET", "/user", "", bearer(ada)...), 401, auth.CodeUnauthenticated)
	wantRefused(t, do(t, h, "DELETE", "/user", "", bearer(ada)...), 401, auth.CodeUnauthenticated)
}
