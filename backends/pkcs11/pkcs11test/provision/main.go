package provision

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"github.com/miekg/pkcs11"

	"github.com/bundlesign/bundlesign/capgo"
)

// Main does what its standard input asks for and returns the exit code.
func Main() int {
	var o order
	err := json.NewDecoder(os.Stdin).Decode(&o)
	var a answer
	if err == nil {
		a, err = o.obey()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		return 1
	}
	return 0
}

// visit is a module that is loaded, and a token in it.
type visit struct {
	*order
	ctx  *pkcs11.Ctx
	slot uint
}

func (o *order) obey() (a answer, err error) {
	v := visit{order: o, ctx: pkcs11.New(o.Module)}
	if v.ctx == nil {
		return a, fmt.Errorf("%s cannot be loaded", o.Module)
	}
	var options []pkcs11.InitializeOption
	if o.InitArgs != "" {
		options = append(options, pkcs11.InitializeWithReserved(unsafe.Pointer(&append([]byte(o.InitArgs), 0)[0])))
	}
	if err := v.ctx.Initialize(options...); err != nil {
		return a, fmt.Errorf("C_Initialize: %w", err)
	}
	defer func() { err = errors.Join(err, v.ctx.Finalize()) }()
	if err := v.find(); err != nil {
		return a, err
	}
	switch o.Do {
	case "init":
		return a, v.init()
	case "generate":
		err = v.as(pkcs11.CKU_USER, o.PIN, func(s pkcs11.SessionHandle) (err error) {
			a.Modulus, err = v.generate(s)
			return err
		})
		return a, err
	case "import":
		return a, v.as(pkcs11.CKU_USER, o.PIN, v.importKey)
	}
	return a, fmt.Errorf("unknown order %q", o.Do)
}

// find finds the slot. To be initialized, a token is the only one that there is.
func (v *visit) find() error {
	slots, err := v.ctx.GetSlotList(true)
	if err != nil {
		return fmt.Errorf("C_GetSlotList: %w", err)
	}
	var labels []string
	for _, slot := range slots {
		info, err := v.ctx.GetTokenInfo(slot)
		if err != nil {
			return fmt.Errorf("C_GetTokenInfo: %w", err)
		}
		labels = append(labels, info.Label)
		if info.Label == v.Label || len(slots) == 1 && (v.Do == "init" || v.Label == "") {
			v.slot = slot
			return nil
		}
	}
	return fmt.Errorf("no token labelled %q; there are %q", v.Label, labels)
}

// as runs f in a session that is logged in.
func (v *visit) as(user uint, pin string, f func(pkcs11.SessionHandle) error) error {
	s, err := v.ctx.OpenSession(v.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return fmt.Errorf("C_OpenSession: %w", err)
	}
	if err := v.ctx.Login(s, user, pin); err != nil {
		return fmt.Errorf("C_Login: %w", err)
	}
	return errors.Join(f(s), v.ctx.Logout(s), v.ctx.CloseSession(s))
}

// init has a PIN that is used once only between those of the factory and of the
// test: a token may not take a PIN for one that is to be changed.
func (v *visit) init() error {
	const first = "13572468"
	if err := v.ctx.InitToken(v.slot, v.FactorySO, v.Label); err != nil {
		return fmt.Errorf("C_InitToken: %w", err)
	}
	err := v.as(pkcs11.CKU_SO, v.FactorySO, func(s pkcs11.SessionHandle) error {
		if err := v.ctx.SetPIN(s, v.FactorySO, v.SOPIN); err != nil {
			return fmt.Errorf("C_SetPIN: %w", err)
		}
		return v.ctx.InitPIN(s, first)
	})
	if err != nil {
		return fmt.Errorf("as the security officer: %w", err)
	}
	return v.as(pkcs11.CKU_USER, first, func(s pkcs11.SessionHandle) error { return v.ctx.SetPIN(s, first, v.PIN) })
}

// private is what a private key is to be.
func (v *visit) private() []*pkcs11.Attribute {
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, v.Object),
		pkcs11.NewAttribute(pkcs11.CKA_ID, []byte(v.Object)),
		pkcs11.NewAttribute(pkcs11.CKA_SIGN, true),
		pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false),
	}
}

func (v *visit) generate(s pkcs11.SessionHandle) (modulus []byte, err error) {
	public, _, err := v.ctx.GenerateKeyPair(s,
		[]*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN, nil)},
		[]*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
			pkcs11.NewAttribute(pkcs11.CKA_LABEL, v.Object),
			pkcs11.NewAttribute(pkcs11.CKA_ID, []byte(v.Object)),
			pkcs11.NewAttribute(pkcs11.CKA_VERIFY, true),
			pkcs11.NewAttribute(pkcs11.CKA_MODULUS_BITS, capgo.KeyBits),
			pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}),
		},
		v.private())
	if err != nil {
		return nil, fmt.Errorf("C_GenerateKeyPair: %w", err)
	}
	got, err := v.ctx.GetAttributeValue(s, public, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_MODULUS, nil)})
	if err != nil {
		return nil, fmt.Errorf("C_GetAttributeValue: %w", err)
	}
	return got[0].Value, nil
}

func (v *visit) importKey(s pkcs11.SessionHandle) error {
	k := v.PrivateKey
	_, err := v.ctx.CreateObject(s, append([]*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PRIVATE_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_RSA),
		pkcs11.NewAttribute(pkcs11.CKA_MODULUS, k.N),
		pkcs11.NewAttribute(pkcs11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1}),
		pkcs11.NewAttribute(pkcs11.CKA_PRIVATE_EXPONENT, k.D),
		pkcs11.NewAttribute(pkcs11.CKA_PRIME_1, k.P),
		pkcs11.NewAttribute(pkcs11.CKA_PRIME_2, k.Q),
		pkcs11.NewAttribute(pkcs11.CKA_EXPONENT_1, k.DP),
		pkcs11.NewAttribute(pkcs11.CKA_EXPONENT_2, k.DQ),
		pkcs11.NewAttribute(pkcs11.CKA_COEFFICIENT, k.QInv),
	}, v.private()...))
	if err != nil {
		return fmt.Errorf("C_CreateObject: %w", err)
	}
	return nil
}
