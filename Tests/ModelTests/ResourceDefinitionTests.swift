import Model
import Testing

@Suite struct ResourceDefinitionTests {
    @Test("the committed definition is the one that is made")
    func committed() {
        let path = corpus("../../../examples/kubernetes-crd/crd/cnfconfigurations.yaml")
        #expect(String(decoding: fileText(path), as: UTF8.self) == Schema.resourceDefinition())
    }

    @Test("it is small enough for what kubectl apply keeps of it")
    func size() {
        // Annotations of an object have 256 KiB, and the JSON of the definition goes into one.
        #expect(Schema.resourceDefinition().utf8.count < 200 << 10)
    }
}
