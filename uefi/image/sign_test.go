//go:build !tamago

package image

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// signer is a tool for Authenticode signatures, which Secure Boot checks ([UEFI], 32.5.3.3).
const signer = "osslsigncode"

func TestImageCanBeSignedAndVerified(t *testing.T) {
	if _, err := exec.LookPath(signer); err != nil {
		// as for other programs that tests need: board/qemu/harness
		if os.Getenv("QEMU_REQUIRED") != "" {
			t.Fatal(err)
		}
		t.Skipf("%s is not installed: no signature is tried", signer)
	}
	img := mustConvert(t, pie(t))
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, b []byte) {
		if err := os.WriteFile(path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("image.efi", img)
	certificate, key := makeCertificate(t)
	write("certificate.pem", certificate)
	write("key.pem", key)

	sign := exec.Command(signer, "sign", "-certs", path("certificate.pem"), "-key", path("key.pem"),
		"-h", "sha256",
		"-in", path("image.efi"), "-out", path("signed.efi"))
	if out, err := sign.CombinedOutput(); err != nil {
		t.Fatalf("sign: %v\n%s", err, out)
	}
	signed, err := os.ReadFile(path("signed.efi"))
	if err != nil {
		t.Fatal(err)
	}
	if len(signed) <= len(img) || !bytes.Equal(signed[firstSectionOffset(t, img):len(img)],
		img[firstSectionOffset(t, img):]) {
		t.Error("the signature is not appended to unchanged sections")
	}
	if out, err := verify(path("signed.efi"), path("certificate.pem")); err != nil {
		t.Errorf("verify: %v\n%s", err, out)
	}

	damaged := bytes.Clone(signed)
	damaged[len(img)/2] ^= 1
	write("damaged.efi", damaged)
	if out, err := verify(path("damaged.efi"), path("certificate.pem")); err == nil {
		t.Errorf("a damaged image was verified\n%s", out)
	}
}

func verify(image, certificate string) ([]byte, error) {
	return exec.Command(signer, "verify", "-CAfile", certificate, "-in", image).CombinedOutput()
}

func firstSectionOffset(t *testing.T, img []byte) uint32 {
	return mustLoad(t, img, lowBase).header.SizeOfHeaders
}

// makeCertificate returns a self-signed code-signing certificate and its key, both PEM.
func makeCertificate(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
